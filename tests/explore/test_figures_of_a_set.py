"""The figures of an exploration against plain NumPy and pandas over all pixels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from builders.looked import looked_set, stained
from builders.sets import small_split
from sentinode.config import AuditConfig
from sentinode.errors import InputError
from sentinode.explore import explore

COUNT, SIDE = 60, 48
LABELS = pd.array([0, 1, 1, None, 0, 1] * 10, dtype="Int8")
KIND = np.array([0, 1, 1, 2, 0, 1] * 10)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    images = stained(COUNT, SIDE)
    images[KIND == 1] = (images[KIND == 1] * 0.8).astype(np.uint8)
    images[7], images[8] = 4, 250  # near-black and near-white
    images[20] = images[1]
    images[24] = images[21] = images[0]
    packed = looked_set(
        tmp_path_factory.mktemp("case") / "set",
        images,
        label=LABELS,
        slide=[None if i % 10 == 9 else f"s{i % 10 // 2}" for i in range(COUNT)],
        problem=["wrong size: 50x50 px" if i in (5, 11) else None for i in range(COUNT)],
        remarks=["blank; near-white" if i == 8 else None for i in range(COUNT)],
        excluded=["near-white" if i == 8 else None for i in range(COUNT)],
    )
    small_split(packed)
    return packed, explore(packed, AuditConfig(), subset=30, seed=1)


def by_name(rows):
    return {row.name: row for row in rows}


def test_rows_missing_values_and_ids(case):
    packed, explored = case
    facts = explored.facts
    assert (facts.patches, facts.unique_ids, facts.usable) == (COUNT, COUNT, COUNT - 3)
    columns = by_name(facts.columns)
    assert set(columns) == set(packed.manifest.frame.columns)
    assert (columns["slide"].missing, columns["slide"].distinct) == (6, 5)
    assert (columns["label"].missing, columns["label"].distinct) == (10, 2)
    assert columns["sharpness"].missing == 0


def test_label_counts_of_the_set_its_folds_and_a_subset(case):
    packed, explored = case
    labels = by_name(explored.facts.labels)
    assert list(labels) == [
        "whole set",
        "usable",
        "training fold",
        "validation fold",
        "test fold",
        "random subset of 30",
    ]
    whole, usable = labels["whole set"], labels["usable"]
    assert (whole.normal, whole.tumour, whole.unlabelled) == (20, 30, 10)
    assert whole.tumour_share == pytest.approx(0.6)
    assert (usable.normal, usable.tumour, usable.unlabelled) == (20, 27, 10)
    subset = labels["random subset of 30"]
    assert subset.normal + subset.tumour + subset.unlabelled == subset.patches == 30
    again = explore(packed, AuditConfig(), subset=30, seed=1).facts
    assert again == explored.facts
    folds = [labels[f"{name} fold"].patches for name in ("training", "validation", "test")]
    assert folds == [sum(r % 8 in at and KIND[r] < 2 for r in range(COUNT)) for at in (
        (0, 1, 6, 7), (2, 3), (4, 5)
    )]  # fmt: skip


def test_brightness_contrast_and_saturation(case):
    packed, explored = case
    luma = packed.images.astype(float) @ [0.299, 0.587, 0.114]
    top, low = packed.coarse.max(-1).astype(float), packed.coarse.min(-1).astype(float)
    saturation = ((top - low) / np.maximum(top, 1)).mean((1, 2))
    usable = packed.manifest.usable
    expected = {
        "brightness": luma.mean((1, 2)),
        "contrast": luma.reshape(COUNT, -1).std(1),
        "saturation": saturation,
    }
    statistics = by_name(explored.facts.statistics)
    assert list(statistics) == list(expected)
    for name, values in expected.items():
        for code, spread in enumerate(statistics[name].spreads):
            own = values[usable & (code == KIND)]
            assert spread.patches == len(own)
            assert spread.mean == pytest.approx(own.mean(), rel=1e-5)
            assert spread.median == pytest.approx(np.median(own), rel=1e-5)
            assert spread.quartile_low == pytest.approx(np.quantile(own, 0.25), rel=1e-5)
            assert sum(statistics[name].histogram.counts[spread.kind]) == len(own)
        normal, tumour = (values[usable & (code == KIND)] for code in (0, 1))
        area = mannwhitneyu(tumour, normal).statistic / len(normal) / len(tumour)
        assert statistics[name].separation == pytest.approx(max(area, 1 - area), abs=1e-3)


def test_histograms_of_all_pixels(case):
    packed, explored = case
    usable = packed.manifest.usable
    for code, kind in enumerate(("normal", "tumour", "unlabelled")):
        pixels = packed.images[usable & (code == KIND)].reshape(-1, 3)
        for c, channel in enumerate(("red", "green", "blue")):
            counts = explored.facts.intensities.counts[f"{channel}, {kind}"]
            np.testing.assert_array_equal(counts, np.histogram(pixels[:, c], range(257))[0])
        density = -np.log((pixels.astype(float) + 1) / 240).mean(1)
        edges = np.array(explored.facts.densities.edges)
        expected = np.histogram(density.clip(None, edges[-1]), edges)[0]
        counts = np.array(explored.facts.densities.counts[kind])
        assert counts.sum() == len(pixels)
        assert np.abs(counts - expected).sum() <= 0.002 * len(pixels)  # at the edges of bins


def test_mean_patches(case):
    packed, explored = case
    for code, row in enumerate(explored.facts.mean_patches):
        mean = packed.images[packed.manifest.usable & (code == KIND)].astype(float).mean(0)
        np.testing.assert_allclose(explored.pixels.means[code], mean)
        luma = mean @ [0.299, 0.587, 0.114]
        assert row.centre == pytest.approx(luma[8:40, 8:40].mean())
        rest = (luma.sum() - luma[8:40, 8:40].sum()) / (SIDE**2 - 32**2)
        assert row.rim == pytest.approx(rest)


def test_slides_with_their_shares(case):
    packed, explored = case
    slides = explored.facts.slides
    frame = packed.manifest.frame
    assert (slides.count, slides.without) == (5, 6)
    assert [row.patches for row in slides.rows] == [12, 12, 12, 12, 6]
    for row in slides.rows:
        labels = frame["label"][frame["slide"] == row.name]
        assert row.tumour == (labels == 1).sum()
        assert row.unlabelled == labels.isna().sum()
        assert row.tumour_share == pytest.approx(labels.dropna().mean())


def test_near_black_and_near_white_by_the_limits_of_the_audit(case):
    packed, explored = case
    strips = by_name(explored.facts.strips)
    assert [p.id for p in strips["near-black"].patches] == ["p0007"]
    assert strips["near-black"].patches[0].value == "max 4"
    assert [p.id for p in strips["near-white"].patches] == ["p0008"]
    none = AuditConfig(near_black_max=0, near_white_min=255)
    strips = by_name(explore(packed, none).facts.strips)
    assert strips["near-black"].found == strips["near-white"].found == 0


def test_extremes_are_the_extreme_ones(case):
    packed, explored = case
    strips = by_name(explored.facts.strips)
    frame, usable = packed.manifest.frame, packed.manifest.usable
    luma = packed.images.astype(float).mean((1, 2)) @ [0.299, 0.587, 0.114]
    expected = {
        "darkest": luma,
        "brightest": -luma,
        "least saturated": frame["saturation"].to_numpy(float),
        "most saturated": -frame["saturation"].to_numpy(float),
        "least sharp": frame["sharpness"].to_numpy(float),
    }
    for name, values in expected.items():
        rows = np.flatnonzero(usable)
        assert strips[name].patches[0].row == rows[np.argmin(values[rows])]
        assert len(strips[name].patches) == 8
    assert "p0007" in {p.id for p in strips["darkest"].patches}


def test_samples_bear_their_own_labels(case):
    _, explored = case
    strips = by_name(explored.facts.strips)
    for code, kind in enumerate(("normal", "tumour", "unlabelled")):
        patches = strips[f"sample, {kind}"].patches
        assert {KIND[p.row] for p in patches} == {code}
        assert {p.kind for p in patches} == {kind}
        assert len({p.row for p in patches}) == len(patches)


def test_copies_of_equal_pixels_and_two_labels(case):
    _, explored = case
    copies = explored.facts.copies
    assert (copies.exact_groups, copies.exact_patches, copies.exact_two_labels) == (2, 5, 0)
    assert (copies.audited, copies.near_groups) == (False, None)
    largest = copies.shown[0]
    assert (largest.size, [p.row for p in largest.patches]) == (3, [0, 21, 24])


def test_copies_that_the_audit_knows(tmp_path):
    images = stained(12, 32)
    images[5] = images[4]
    group = [None, "p0001", "p0001", None, "p0004", "p0004", *[None] * 6]
    packed = looked_set(tmp_path / "set", images, group=group)
    (tmp_path / "set" / "audit.json").write_text("{}")
    copies = explore(packed, AuditConfig()).facts.copies
    assert (copies.near_groups, copies.near_patches, copies.near_two_labels) == (2, 4, 2)
    assert (copies.exact_groups, copies.exact_two_labels) == (1, 1)
    assert [(g.kind, [p.row for p in g.patches], g.two_labels) for g in copies.shown] == [
        ("equal pixels", [4, 5], True),
        ("the same tissue", [1, 2], True),
    ]


def test_problems_and_rules_are_counted(case):
    facts = case[1].facts
    assert [(r.reason, r.patches, r.example) for r in facts.problems] == [
        ("wrong size", 2, "wrong size: 50x50 px")
    ]
    assert {(r.reason, r.patches, r.example) for r in facts.remarks} == {
        ("blank", 1, "p0008"),
        ("near-white", 1, "p0008"),
    }
    assert [(r.reason, r.patches) for r in facts.excluded] == [("near-white", 1)]


def test_more_patches_than_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr("sentinode.explore.pixels.SAMPLE", 2)  # of 96 px: 18 of 32 px
    monkeypatch.setattr("sentinode.explore.pixels.BLOCK", 5)
    packed = looked_set(tmp_path / "set", stained(50, 32))
    explored = explore(packed, AuditConfig())
    rows = explored.pixels.rows
    assert explored.facts.sampled == len(set(rows.tolist())) == 2
    luma = packed.images[rows].astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(explored.pixels.contrast, luma.reshape(2, -1).std(1), rtol=1e-5)
    assert explored.pixels.values.sum() == 3 * 2 * 32 * 32
    assert [len(s.patches) for s in explored.facts.strips[:2]] == [24, 24]


def test_a_set_that_cannot_be_looked_at(tmp_path):
    packed = looked_set(tmp_path / "set", stained(6, 32), problem=["unreadable: empty"] * 6)
    with pytest.raises(InputError, match="none of its 6 patches is usable"):
        explore(packed, AuditConfig())


@pytest.mark.parametrize("subset", [0, 61])
def test_a_subset_that_cannot_be_drawn(case, subset):
    with pytest.raises(InputError, match="--subset expects 1 to 57"):
        explore(case[0], AuditConfig(), subset=subset)


def test_a_split_of_another_state_is_not_shown(tmp_path):
    packed = looked_set(tmp_path / "set", stained(16, 32))
    split = small_split(packed, write=False)
    split.model_copy(update={"manifest_hash": "f" * 64}).write(Path(packed.folder) / "split.json")
    facts = explore(packed, AuditConfig()).facts
    assert "split the set again" in facts.warnings[-1]
    assert [row.name for row in facts.labels] == ["whole set", "usable", "random subset of 1"]
