"""Patches cut from annotated slides, against the masks they came from and reading by OpenSlide."""

import json
import shutil
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
from matplotlib.path import Path as Outline
from PIL import Image

from builders.annotated import EVERY, NAMES, SIDE, cohort, cut, jobs, masks_of, say
from sentinode.config import ExtractConfig, PackConfig, SplitConfig
from sentinode.data import Extraction, Job, Judge, audit, extract, split
from sentinode.errors import InputError
from sentinode.phantom import MPP
from sentinode.slides import Reading, write_pyramid
from sentinode.tables import PackedSet


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort(tmp_path_factory.mktemp("annotated"))


@pytest.fixture(scope="module")
def everything(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    return cut(phantoms, tmp_path_factory.mktemp("cut") / "set")


def test_labels_are_those_of_the_masks_and_pixels_those_of_openslide(
    phantoms: Path, everything: Extraction
) -> None:
    packed, masks = everything.packed, masks_of(phantoms)
    assert packed.meta.mpp == MPP
    frame = packed.manifest.frame
    for name, rows in frame.groupby("slide"):
        with openslide.OpenSlide(phantoms / "slides" / f"{name}.tif") as slide:
            for row in rows.itertuples():
                low_y, low_x = row.y + 32, row.x + 32
                centre = masks[name][low_y : low_y + 32, low_x : low_x + 32]
                assert row.label == int(centre.any())
                region = slide.read_region((row.x, row.y), 0, (96, 96)).convert("RGB")
                np.testing.assert_array_equal(packed.images[row.Index], np.asarray(region))
    assert set(frame["label"]) == {0, 1}
    assert (frame["id"] == frame["slide"] + "_" + frame["x"].astype(str) + "_"
            + frame["y"].astype(str)).all()  # fmt: skip
    assert frame["tissue"].mean() > 0.5


def test_all_places_are_taken_when_all_are_wanted(everything: Extraction) -> None:
    facts = everything.record["slides"]
    assert len(facts) == 4
    assert sum(f["tumour"] + f["normal"] for f in facts.values()) == len(everything.packed.manifest)
    for fact in facts.values():
        assert (fact["tumour"], fact["normal"]) == (fact["tumour_places"], fact["normal_places"])
        assert 0.05 < fact["tissue_mm2"] < (SIDE * MPP / 1000) ** 2
    assert facts["phantom_003"]["tumour"] == 0
    assert facts["phantom_003"]["notices"] == ["holds no outline: the slide counts as normal"]
    assert "Research use only" in everything.record["notice"]


@pytest.mark.parametrize("kind", ["ncrf", "geojson", "mask"])
def test_every_format_gives_the_same_set(
    phantoms: Path, everything: Extraction, tmp_path: Path, kind: str
) -> None:
    made = extract(jobs(phantoms, kind), tmp_path / "set", EVERY, PackConfig(workers=1))
    for column in ("id", "label", "sha256"):
        assert made.packed.manifest.frame[column].equals(everything.packed.manifest.frame[column])


def test_the_set_goes_on_to_audit_and_split_by_slide(phantoms: Path, tmp_path: Path) -> None:
    from sentinode.config import AuditConfig

    packed = cut(phantoms, tmp_path / "set").packed
    audit(packed, AuditConfig())
    packed = PackedSet.open(tmp_path / "set")
    made = split(packed, SplitConfig(valid_fraction=0.3, test_fraction=0.3))
    assert made.by == "slide"
    assert made.optimistic is None
    assert sum(len(units) for units in made.units.values()) == 4


def pink(height: int, width: int) -> np.ndarray:
    """Noise of the colour of tissue."""
    grain = np.random.default_rng(0).integers(-30, 30, (height, width, 3))
    return (np.array([180, 100, 160]) + grain).astype(np.uint8)


def fractional(folder: Path, mpp: float) -> tuple[Path, np.ndarray]:
    """Write a slide at another scale with one thin slanted outline and one of a few pixels."""
    image = pink(611, 734)
    thin = [[100.0, 90.0], [102.3, 90.0], [402.3, 515.0], [400.0, 515.0]]
    speck = [[600.2, 100.1], [601.4, 100.1], [601.4, 101.4], [600.2, 101.4]]
    folder.mkdir()
    write = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "a.tif", image, tile=(128, 128), photometric="rgb", **write)
    (folder / "a.json").write_text(
        json.dumps({"positive": [{"vertices": thin}, {"vertices": speck}], "negative": []})
    )
    ys, xs = np.mgrid[:611, :734] + 0.5
    points = np.stack([xs.ravel(), ys.ravel()], 1)
    inside = sum(Outline(ring).contains_points(points).astype(int) for ring in (thin, speck))
    return folder, np.reshape(inside > 0, (611, 734))


@pytest.mark.parametrize("mpp", [0.97, 0.4, 0.2431, 1.1])
def test_rule_of_the_centre_at_any_scale(tmp_path: Path, mpp: float) -> None:
    folder, mask = fractional(tmp_path / "s", mpp)
    config = ExtractConfig(tumour_share=None, per_slide=None, stride=12, min_tissue=0, workers=1)
    job = Job(folder / "a.tif", folder / "a.json", Reading(), None)
    frame = extract([job], tmp_path / "set", config, PackConfig(workers=1)).packed.manifest.frame
    scale = 0.97 / mpp
    ys, xs = np.nonzero(mask)
    for axis, length in (("x", 734), ("y", 611)):
        assert frame[axis].max() + 96 * scale <= length < frame[axis].max() + 108 * scale + 2
    for row in frame.itertuples():
        left, right = row.x + 32 * scale, row.x + 64 * scale
        top, bottom = row.y + 32 * scale, row.y + 64 * scale
        inside = (xs + 0.5 >= left) & (xs + 0.5 < right) & (ys + 0.5 >= top) & (ys + 0.5 < bottom)
        assert row.label == int(inside.any())
    assert frame["label"].nunique() == 2


def test_what_is_unknown_is_left_out(phantoms: Path, tmp_path: Path) -> None:
    ring = [[60, 60], [300, 60], [300, 300], [60, 300], [60, 60]]
    parts = [("Ignore*", ring), ("Tumor", [[x + 140, y + 140] for x, y in ring])]
    (tmp_path / "a.geojson").write_text(
        json.dumps(
            [
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": [points]},
                    "properties": {"classification": {"name": name}},
                }
                for name, points in parts
            ]
        )
    )
    slide = phantoms / "slides" / "phantom_000.tif"
    frames = {}
    for outside in ("normal", "unknown"):
        reading = Reading(only_annotated=outside == "unknown")
        job = Job(slide, tmp_path / "a.geojson", reading, None)
        made = extract([job], tmp_path / outside, EVERY, PackConfig(workers=1))
        frames[outside] = made.packed.manifest.frame
    frame = frames["normal"]
    centre = frame[["x", "y"]] + 32
    normal = centre[frame["label"] == 0]
    touches = (normal["x"] < 300) & (normal["x"] + 32 > 60)
    touches &= (normal["y"] < 300) & (normal["y"] + 32 > 60)
    assert not touches.any()
    assert (frame["label"] == 1).any()
    assert set(frames["unknown"]["label"]) == {1}


def test_balance_and_the_same_draw_again(phantoms: Path, tmp_path: Path) -> None:
    config = ExtractConfig(per_slide=20, workers=1)
    first = cut(phantoms, tmp_path / "a", config)
    frame = first.packed.manifest.frame
    assert (frame["label"] == 1).mean() == pytest.approx(0.5, abs=0.01)
    assert frame.groupby(["slide", "label"]).size().max() <= 20
    assert (frame["label"] == 1).sum() > 20
    spread_over = cut(phantoms, tmp_path / "b", config.model_copy(update={"workers": 2}))
    for name in NAMES:
        same = (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert same, name
    assert not (tmp_path / "b" / ".extract").exists()
    other = cut(phantoms, tmp_path / "c", config.model_copy(update={"seed": 1}))
    assert set(other.packed.manifest.frame["id"]) != set(frame["id"])
    assert spread_over.record == first.record


def test_a_finished_set_is_kept_and_a_changed_one_is_not(phantoms: Path, tmp_path: Path) -> None:
    config = ExtractConfig(per_slide=10, workers=1)
    cut(phantoms, tmp_path / "set", config)
    before = (tmp_path / "set" / "images.npy").stat().st_mtime_ns
    cut(phantoms, tmp_path / "set", config)
    assert (tmp_path / "set" / "images.npy").stat().st_mtime_ns == before
    changed = cut(phantoms, tmp_path / "set", config.model_copy(update={"per_slide": 5}))
    assert changed.packed.manifest.frame.groupby(["slide", "label"]).size().max() == 5
    with pytest.raises(InputError, match="would change the scale"):
        extract(jobs(phantoms), tmp_path / "set", config, PackConfig(resize=48))


def red_judge(asked: list[str]) -> Judge:
    """Calls a patch tumour by how red it is."""

    def probabilities(packed: PackedSet) -> dict[str, float]:
        frame = packed.manifest.frame
        asked.append(str(frame["slide"].iloc[0]))
        assert (frame["label"] == 0).all()
        values = (frame["mean_r"].astype(float) - 100) / 100
        return dict(zip(frame["id"][:-1], values[:-1].clip(0, 1), strict=True))

    return Judge("red", probabilities)


def test_stopped_while_the_judge_looked_it_begins_again_with_other_settings(
    phantoms: Path, tmp_path: Path
) -> None:
    def stopped(packed: PackedSet) -> dict[str, float]:
        raise KeyboardInterrupt

    config = ExtractConfig(per_slide=10, hard_pool=10, workers=1)
    with pytest.raises(KeyboardInterrupt):
        cut(phantoms, tmp_path / "set", config, judge=Judge("stopped", stopped))
    assert (tmp_path / "set/.extract/judged-phantom_000").is_dir()
    made = cut(phantoms, tmp_path / "set", config.model_copy(update={"seed": 1}))
    cut(phantoms, tmp_path / "at-once", config.model_copy(update={"seed": 1}))
    assert len(made.packed.manifest) > 20
    for name in NAMES:
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "at-once" / name).read_bytes()


def test_hard_negatives_are_the_worst_of_those_asked(phantoms: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    config = ExtractConfig(per_slide=20, hard_share=0.3, hard_above=0.6, hard_pool=60, workers=1)
    made = cut(phantoms, tmp_path / "hard", config, judge=red_judge(asked))
    plain = cut(phantoms, tmp_path / "plain", config)
    assert asked == [f"phantom_{i:03d}" for i in range(4)]
    hard = pd.read_csv(tmp_path / "hard" / "hard_negatives.csv")
    frame = made.packed.manifest.frame
    assert frame["label"].value_counts().equals(plain.packed.manifest.frame["label"].value_counts())
    everywhere = cut(phantoms, tmp_path / "all", EVERY.model_copy(update={"stride": 32}))
    redness = everywhere.packed.manifest.frame.set_index("id")["mean_r"].astype(float)
    for slide, facts in made.record["slides"].items():
        of_slide = hard[hard["slide"] == slide]
        assert len(of_slide) == facts["hard"] <= round(0.3 * facts["normal"])
        ids = [f"{r.slide}_{r.x}_{r.y}" for r in of_slide.itertuples()]
        assert set(ids) <= set(frame["id"][frame["label"] == 0])
        expected = ((redness[ids] - 100) / 100).clip(0, 1)
        np.testing.assert_allclose(of_slide["probability"], expected, atol=1e-5)
        assert (of_slide["probability"] >= 0.6).all()
    assert hard["probability"].is_monotonic_decreasing
    assert len(hard) > 5
    assert not (tmp_path / "plain" / "hard_negatives.csv").exists()


def test_a_run_judges_as_it_predicts(phantoms: Path, tmp_path: Path) -> None:
    from sentinode.config import Config
    from sentinode.models import resolve_run
    from sentinode.predict import predict

    known = phantoms / "annotations" / "ncrf"
    keys = ("per_slide=12", "hard_pool=12", "hard_share=1.0", "hard_above=0.001", "workers=1")
    options = [part for key in keys for part in ("--set", f"extract.{key}")]
    slides = (phantoms / "slides/phantom_000.tif", phantoms / "slides/phantom_001.tif")
    out = tmp_path / "set"
    given = (*slides, "--annotations", known, "--out", out, "--hard-negatives", "nodenet-base")
    text, error = say(*given, *options)
    assert error is None, error
    assert "passed over 2 annotation(s) of none of these slides" in text
    hard = pd.read_csv(out / "hard_negatives.csv")
    assert len(hard)
    table = predict(resolve_run("nodenet-base"), out, Config()).frame.set_index("id")
    ids = [f"{row.slide}_{row.x}_{row.y}" for row in hard.itertuples()]
    np.testing.assert_allclose(hard["probability"], table.loc[ids, "probability"], atol=1e-3)


def test_a_judge_calibrated_anew_is_another_one(phantoms: Path, tmp_path: Path) -> None:
    from sentinode.core import provenance, run_folder
    from sentinode.models import Run
    from sentinode.tables import Calibration

    shutil.copytree(run_folder("nodenet-base"), tmp_path / "run")
    keys = ("per_slide=6", "hard_pool=6", "hard_share=1.0", "hard_above=0.001", "workers=1")
    options = [part for key in keys for part in ("--set", f"extract.{key}")]
    slide, known = phantoms / "slides/phantom_000.tif", phantoms / "annotations/ncrf"
    given = [slide, "--annotations", known, "--out", tmp_path / "set", "--hard-negatives"]
    tables = []
    for more in ((), ("--set", "predict.angles=2"), ()):
        if tables and not more:
            Calibration(
                method="platt", slope=0.5, intercept=1.0, fitted_on="a test", patches=9,
                before={}, after={}, weights_sha256=Run.open(tmp_path / "run").weights_hash,
                provenance=provenance("calibrate"),
            ).write(tmp_path / "run")  # fmt: skip
        _, error = say(*given, tmp_path / "run", *options, *more)
        assert error is None, error
        tables.append(pd.read_csv(tmp_path / "set" / "hard_negatives.csv"))
    worst = [float(table["probability"].max()) for table in tables]
    assert len(set(worst)) == 3, worst


def broken(folder: Path, name: str, pixels: np.ndarray, **how: object) -> Path:
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / f"{name}.tif", pixels, photometric="rgb", **how)  # type: ignore[arg-type]
    (folder / f"{name}.json").write_text('{"positive": [], "negative": []}')
    return folder


def test_slides_that_cannot_be_used(phantoms: Path, tmp_path: Path) -> None:
    scale = {"resolution": (1e4 / 0.97, 1e4 / 0.97), "resolutionunit": "CENTIMETER"}
    noise = pink(300, 300)
    white = np.full((300, 300, 3), 255, np.uint8)
    cases = {
        "unscaled": (noise, {}, "does not say its µm/px"),
        "glass": (white, scale, "has no tissue for a patch"),
        "flat": (noise[:1], scale, "300x1 px, a patch of 96 px"),
    }
    config = ExtractConfig(per_slide=5, tumour_share=None, workers=1)
    bad = []
    for name, (pixels, how, words) in cases.items():
        folder = broken(tmp_path / "bad", name, pixels, **how)
        bad.append(Job(folder / f"{name}.tif", folder / f"{name}.json", Reading(), None))
        with pytest.raises(InputError, match=words):
            extract(bad[-1:], tmp_path / name, config, PackConfig(workers=1))
    other = Job(
        phantoms / "slides/phantom_000.tif", broken(tmp_path / "of", "x", noise) / "m.png",
        Reading(), None,
    )  # fmt: skip
    Image.fromarray(noise[:100, :300, 0] // 128).save(tmp_path / "of" / "m.png")
    with pytest.raises(InputError, match="expected one downsample"):
        extract([other], tmp_path / "o", config, PackConfig(workers=1))
    with pytest.raises(InputError, match=r"unscaled.*--keep-going leaves them out"):
        extract([*bad, *jobs(phantoms)], tmp_path / "k", config, PackConfig(workers=1))
    made = extract(
        [*bad, *jobs(phantoms)], tmp_path / "k", config, PackConfig(workers=1), keep_going=True
    )
    assert set(made.record["left_out"]) == set(cases)
    assert made.packed.manifest.frame["slide"].nunique() == 4
    with pytest.raises(InputError, match="2 more cannot be used either"):
        extract(bad, tmp_path / "all", config, PackConfig(workers=1), keep_going=True)


def test_a_corrupt_tile_puts_its_patches_aside(tmp_path: Path) -> None:
    noise = pink(600, 600)
    path = tmp_path / "a.tif"
    write_pyramid(path, noise, MPP)
    (tmp_path / "a.json").write_text('{"positive": [], "negative": []}')
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[4]  # of the tile in the middle of nine
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    config = ExtractConfig(per_slide=None, tumour_share=None, stride=96, workers=1)
    job = Job(path, tmp_path / "a.json", Reading(), None)
    frame = extract([job], tmp_path / "set", config, PackConfig(workers=1)).packed.manifest.frame
    touched = (frame[["x", "y"]] < 512).all(axis=1) & (frame[["x", "y"]] + 96 > 256).all(axis=1)
    assert len(frame) == 36
    assert (frame["problem"].notna() == touched).all()
    assert frame["problem"].dropna().str.contains("cannot be read at x").all()
