"""Patches of two laboratories are told apart by their stain."""

import numpy as np
import pandas as pd
import pytest

from sentinode.config import EvaluateConfig
from sentinode.core import hash_bytes, provenance, write_json
from sentinode.data.statistics import coarse_look
from sentinode.evaluate import cluster_stains, evaluate
from sentinode.stain import to_rgb
from sentinode.tables import SET_FORMAT, Manifest, PackedSet, Predictions

LABS = (
    ((0.65, 0.70, 0.29), (0.21, 0.93, 0.30)),
    ((0.55, 0.60, 0.55), (0.15, 0.80, 0.08)),
)
COUNT, SIDE = 48, 48


def written(folder, *, slides):
    rng = np.random.default_rng(0)
    images = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    for row in range(COUNT):
        vectors = np.array(LABS[row % 2])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        amounts = rng.gamma(1.5, 0.5, (SIDE, SIDE, 2)).astype(np.float32)
        images[row] = to_rgb((amounts @ vectors).astype(np.float32))
    images[5] = 250
    frame = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(COUNT)],
            "label": np.arange(COUNT) // 2 % 2,
            "slide": [f"s{i % 2}{i // 2 % 6}" for i in range(COUNT)] if slides else None,
            "sha256": [hash_bytes(image.tobytes()) for image in images],
        }
    )
    manifest = Manifest.make(frame, {})
    folder.mkdir()
    np.save(folder / "images.npy", images)
    np.save(folder / "coarse.npy", np.stack([coarse_look(image) for image in images]))
    manifest.write(folder / "manifest.parquet")
    meta = {"format": SET_FORMAT, "kind": "test", "count": COUNT, "size": SIDE, "mpp": 0.97}
    made = provenance("pack").model_dump(mode="json")
    write_json(folder / "meta.json", meta | {"content_hash": manifest.hash, "provenance": made})
    return PackedSet.open(folder)


@pytest.mark.parametrize("slides", [False, True])
def test_laboratories_are_found(tmp_path, slides):
    packed = written(tmp_path / "set", slides=slides)
    rows = np.arange(COUNT)[::-1].copy()
    found = cluster_stains(packed, rows, 2, 0)
    names = found.names.iloc[::-1].reset_index(drop=True)
    shown = names.notna()
    assert slides or pd.isna(names[5])
    lab = pd.Series(rows % 2)[::-1].reset_index(drop=True)
    by_lab = [set(names[shown & (lab == i)]) for i in range(2)]
    assert [len(of) for of in by_lab] == [1, 1]
    assert by_lab[0] != by_lab[1]
    for i in range(2):
        look = found.looks[by_lab[i].pop()]
        wanted = np.array(LABS[i]) / np.linalg.norm(LABS[i], axis=1, keepdims=True)
        assert (np.einsum("kc,kc->k", np.array(look.vectors), wanted) > 0.97).all()
    assert ("slides, grouped" in found.said) == slides


def test_too_little_stain_makes_no_clusters(tmp_path):
    packed = written(tmp_path / "set", slides=False)
    assert cluster_stains(packed, np.arange(8), 2, 0) is None
    assert cluster_stains(packed, np.array([5]), 2, 0) is None


def test_the_report_names_the_worst_stain(tmp_path):
    packed = written(tmp_path / "set", slides=False)
    label = packed.manifest.frame["label"].to_numpy(int)
    wrong = (np.arange(COUNT) % 2 == 1) & (np.arange(COUNT) % 3 == 0)
    p = np.where(wrong, 1 - label, label) * 0.8 + 0.1
    frame = packed.manifest.frame[["id", "label"]].assign(probability=p)
    config = EvaluateConfig(resamples=100, examples=0, stains=2)
    report = evaluate(Predictions.make(frame, {}), config, packed=packed)
    rows = report.groups["stain"]
    assert [row.accuracy for row in rows] == sorted(row.accuracy for row in rows)
    assert rows[-1].accuracy == 1
    assert report.worst["stain"].startswith(
        f"Worst stain cluster of at least 20 patches: {rows[0].name}"
    )
    assert set(report.stains) == {row.name for row in rows}
    assert all(look.eosin.startswith("#") for look in report.stains.values())
    off = evaluate(
        Predictions.make(frame, {}), EvaluateConfig(resamples=100, stains=0), packed=packed
    )
    assert "stain" not in off.groups
