"""Slides from file to outputs, through the command line and against the network alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image

from sentinode.config import SlideConfig
from sentinode.core import folder_lock
from sentinode.data.loader import to_input
from sentinode.errors import DiskFullError, InputError
from sentinode.models import resolve_run
from sentinode.phantom import make_section, make_slide
from sentinode.slide import Analyst, Job, analyse_cohort, peaks, shard_of, slide_score
from sentinode.slide.analysis import _put
from sentinode.slide.tables import write_tumour
from sentinode.slides import Grid, Slide, write_pyramid
from sentinode.slides.vendors import VendorFile
from sentinode.types import Mpp, PatchPx

EXACT = SlideConfig(precision="float32", tile=5, overlay_px=400)
FILES = {"map.ome.tif", "overlay.png", "tiles.csv", "tiles.geojson", "tumour.geojson"}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    section = make_section(5, 900, share=0.25, marks=False)
    write_pyramid(folder / "node.tif", section.image, section.mpp)
    tumour = make_slide(7, 1, 448)
    write_pyramid(folder / "tumour.tif", tumour.image, 0.97)
    return folder


@pytest.fixture(scope="module")
def done(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    cohort = analyse_cohort(Job("nodenet-base", out, None, EXACT), [slides])
    assert [one.status for one in cohort.outcomes] == ["done", "done"]
    assert cohort.exit_code == 0
    return out


def summary_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return values


def test_every_square_has_the_probability_of_its_patch(slides: Path, done: Path) -> None:
    """Read each patch by itself, ask the network as it was trained, calibrate."""
    run = resolve_run("nodenet-base")
    table = pd.read_csv(done / "tumour" / "tiles.csv")
    assert list(table.columns) == ["minx", "miny", "width", "height", "prob_Tumor"]
    assert (table["minx"] == 0).any()  # patches that stick out of the slide among them
    with Slide(slides / "tumour.tif") as slide:
        patches = np.stack(
            [slide.read(x - 32, y - 32, 96, 96, 0.97) for x, y in table[["minx", "miny"]].values]
        )
    with torch.inference_mode():
        logits = run.load()(to_input(torch.from_numpy(patches), run.spec.preprocess)).numpy()
    calibration = run.calibration()
    assert calibration is not None
    np.testing.assert_allclose(table["prob_Tumor"], calibration.apply(logits), atol=1.1e-5)


def test_outputs_say_the_same(done: Path) -> None:
    for name in ("node", "tumour"):
        folder = done / name
        assert {path.name for path in folder.iterdir()} == FILES | {"summary.json"}
        said = summary_of(folder)
        table = pd.read_csv(folder / "tiles.csv")
        grid = tifffile.imread(folder / "map.ome.tif")
        kept = grid[~np.isnan(grid)]
        np.testing.assert_allclose(np.sort(kept), np.sort(table["prob_Tumor"]), atol=1e-6)
        assert len(table) == said["positions"] > 20
        above = table["prob_Tumor"] >= 0.5
        assert said["tumour_area_mm2"] == pytest.approx(above.sum() * (32 * 0.97e-3) ** 2)
        assert said["notice"].startswith("Research use only")
        assert "research output" in said["marked"]
        assert said["run_densely"]
    assert summary_of(done / "tumour")["score"] > 0.5
    assert summary_of(done / "node")["read_mpp"] == pytest.approx(0.97)


def ring_area(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def test_a_file_that_goes_away_while_it_is_read_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, np.full((300, 300, 3), 200, np.uint8), Mpp(0.97))
    file = VendorFile(path)
    path.unlink()

    def gone(*given: object) -> None:
        raise openslide.OpenSlideError("the share went away")

    monkeypatch.setattr(openslide.OpenSlide, "read_region", gone)
    with pytest.raises(OSError, match="cannot be read any more"):
        file.read(0, 0, 0, 96, 96)


def test_each_area_has_its_own_measurements(tmp_path: Path) -> None:
    probability = np.zeros((4, 5))
    probability[:2, :2], probability[2, 2], probability[3, 3] = 0.9, 0.8, 0.7  # corner to corner
    grid = Grid(Mpp(1.0), 1.0, PatchPx(32), PatchPx(96), 4, 5)
    write_tumour(tmp_path / "t.geojson", probability, grid, (160, 128), 0.5)
    found = json.loads((tmp_path / "t.geojson").read_text())["features"]
    measured = [
        {m["name"]: m["value"] for m in each["properties"]["measurements"]} for each in found
    ]
    assert [m["Max prob_Tumor"] for m in measured] == [0.9, 0.8, 0.7]
    areas = [m["Area mm^2"] for m in measured]
    assert areas == pytest.approx([4 * 0.032**2, 0.032**2, 0.032**2], abs=1e-6)
    outlined = [ring_area(each["geometry"]["coordinates"][0]) / 1e6 for each in found]
    assert outlined == pytest.approx(areas, abs=1e-6)


def test_geojson_is_what_qupath_reads(done: Path) -> None:
    """By RFC 7946 and QuPath's own names; areas agree with the table's."""
    folder = done / "tumour"
    table = pd.read_csv(folder / "tiles.csv")
    said = summary_of(folder)
    for name, kind in (("tiles", "tile"), ("tumour", "annotation")):
        values = json.loads((folder / f"{name}.geojson").read_text())
        assert values["type"] == "FeatureCollection"
        assert values["features"]
        for feature in values["features"]:
            assert feature["type"] == "Feature"
            assert feature["geometry"]["type"] == "Polygon"
            for ring in feature["geometry"]["coordinates"]:
                assert len(ring) >= 4
                assert ring[0] == ring[-1]
                assert np.array(ring).min() >= 0
                assert np.array(ring).max() <= 448
            properties = feature["properties"]
            assert properties["objectType"] == kind
            assert properties["classification"]["name"] in ("Tumor", "Other")
            for measurement in properties["measurements"]:
                assert set(measurement) == {"name", "value"}
    tiles = json.loads((folder / "tiles.geojson").read_text())["features"]
    assert len(tiles) == len(table)
    areas = json.loads((folder / "tumour.geojson").read_text())["features"]
    square = 32**2
    outlined = sum(
        ring_area(rings[0]) - sum(map(ring_area, rings[1:]))
        for rings in (f["geometry"]["coordinates"] for f in areas)
    )
    assert outlined == pytest.approx((table["prob_Tumor"] >= 0.5).sum() * square)
    measured = {m["name"]: m["value"] for m in areas[0]["properties"]["measurements"]}
    assert measured["Max prob_Tumor"] <= 1
    assert said["foci"]


def test_overlay_is_a_picture_with_legend(done: Path) -> None:
    with Image.open(done / "tumour" / "overlay.png") as image:
        assert min(image.size) > 400
        assert not {"Software", "Creation Time"} & set(image.info)


def test_same_bytes_again_and_a_finished_slide_is_kept(slides: Path, done: Path) -> None:
    again = done.parent / "again"
    analyse_cohort(Job("nodenet-base", again, None, EXACT), [slides / "tumour.tif"])
    for name in FILES | {"summary.json"}:
        assert (again / "tumour" / name).read_bytes() == (done / "tumour" / name).read_bytes()
    job = Job("nodenet-base", again, None, EXACT)
    assert analyse_cohort(job, [slides / "tumour.tif"]).outcomes[0].status == "kept"
    (again / "tumour" / "tiles.csv").write_text("changed")
    assert analyse_cohort(job, [slides / "tumour.tif"]).outcomes[0].status == "done"
    other = Job("nodenet-base", again, None, EXACT.model_copy(update={"threshold": 0.4}))
    assert analyse_cohort(other, [slides / "tumour.tif"]).outcomes[0].status == "done"
    assert not list(again.glob(".*.partial"))


def broken_slides(folder: Path, good: Path) -> None:
    rng = np.random.default_rng(1)
    shutil.copy(good, folder / "good.tif")
    (folder / "unknown.svs").write_bytes(rng.bytes(3000))
    (folder / "cut.tif").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    tifffile.imwrite(folder / "scaleless.tif", np.full((128, 128, 3), 200, np.uint8))
    scale = {"resolution": (1e4 / 0.97, 1e4 / 0.97), "resolutionunit": "CENTIMETER"}
    glass = np.full((300, 300, 3), 244, np.uint8)
    tifffile.imwrite(folder / "glass.tif", glass, photometric="rgb", **scale)
    tifffile.imwrite(folder / "thin.tif", glass[:1], photometric="rgb", **scale)
    wide = np.full((40, 100_000, 3), 244, np.uint8)  # one level
    how: dict[str, Any] = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib"}
    tifffile.imwrite(folder / "wide.tif", wide, **how, **scale)
    far = {"resolution": (1e4 / 4, 1e4 / 4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "coarse.tif", glass, photometric="rgb", **far)
    path = folder / "xml.ome.tif"
    tifffile.imwrite(path, glass, photometric="rgb", metadata={"axes": "YXS"})
    path.write_bytes(path.read_bytes().replace(b"<Pixels ", b"<Pixels<"))
    path = folder / "corrupt.tif"
    shutil.copy(good, path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        at, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[at : at + count] = b"\xff" * count
    path.write_bytes(data)


def test_a_broken_slide_stops_no_other(
    slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    broken_slides(folder, slides / "tumour.tif")
    said: list[str] = []
    cohort = analyse_cohort(Job("nodenet-base", out, None, EXACT), [folder], said=said.append)
    found = {one.slide: (one.status, one.reason) for one in cohort.outcomes}
    assert found["good"] == ("done", "")
    assert found["glass"][0] == found["thin"][0] == found["wide"][0] == "no tissue"
    for name, words in (
        ("unknown", "is no slide: expected SVS"),
        ("cut", "damaged or cut short"),
        ("scaleless", "does not say its µm/px; give the scale of its finest level with --mpp"),
        ("xml", "does not say its µm/px"),
        ("coarse", "4 µm/px at its finest level, the network needs 0.97"),
        ("corrupt", "cannot be read at x"),
    ):
        assert found[name][0] == "failed"
        assert words in found[name][1]
        assert not (out / name).exists()
    assert (cohort.exit_code, cohort.failed) == (1, 6)
    assert len(said) == 10
    assert not list(out.glob(".*.partial"))
    table = pd.read_csv(cohort.table)
    assert table["status"].value_counts()["failed"] == 6
    assert (out / "glass" / "summary.json").is_file()


def test_full_disk_stops_all_and_leaves_nothing_half(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr("sentinode.slide.analysis.write_tumour", full)
    with pytest.raises(DiskFullError):
        analyse_cohort(Job("nodenet-base", tmp_path, None, EXACT), [slides / "tumour.tif"])
    assert not (tmp_path / "tumour").exists()
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("name", ["S1", "S[1]"])
def test_only_a_slides_own_strays_are_cleared_away(slides: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(slides / "tumour.tif", tmp_path / f"{name}.tif")
    out = tmp_path / "out"
    mine = [out / f".{name}.777.partial", out / f".{name}.777.old.partial"]
    others = [out / f".{name}.HE.777.partial", out / f".{name}.HE.777.old.partial"]
    for folder in (*mine, *others):
        folder.mkdir(parents=True)
        (folder / "map.ome.tif").touch()
    job = Job("nodenet-base", out, None, EXACT)
    assert Analyst(job).take(tmp_path / f"{name}.tif").status == "done"
    assert not any(folder.exists() for folder in mine)
    assert all((folder / "map.ome.tif").exists() for folder in others)


def test_a_slide_without_a_name_takes_no_results_away(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "earlier").mkdir(parents=True)
    shutil.copy(slides / "tumour.tif", tmp_path / ".ome.tif")
    with pytest.raises(InputError, match="cannot be a slide's name"):
        Analyst(Job("nodenet-base", out, None, EXACT)).take(tmp_path / ".ome.tif")
    for name in ("", "../other"):
        with pytest.raises(InputError, match="does not lie in"):
            _put(out / ".a.1.partial", out / name)
    assert (out / "earlier").is_dir()


def test_two_runs_do_not_write_one_slide(slides: Path, tmp_path: Path) -> None:
    job = Job("nodenet-base", tmp_path, None, EXACT)
    with folder_lock(tmp_path / ".locks" / "tumour"):
        cohort = analyse_cohort(job, [slides / "tumour.tif"])
    assert cohort.outcomes[0].reason == "another process is at this slide"
    assert cohort.exit_code == 2


def test_shards_share_out_all_slides(slides: Path, tmp_path: Path) -> None:
    job = Job("nodenet-base", tmp_path, None, EXACT)
    names = []
    for number in (1, 2):
        cohort = analyse_cohort(job, [slides], shard=(number, 2))
        names += [one.slide for one in cohort.outcomes]
        assert cohort.table.name == f"slides-{number}-of-2.csv"
    assert names == ["node", "tumour"]
    empty = analyse_cohort(job, [slides], shard=(3, 3))
    table = pd.read_csv(empty.table)
    assert table.columns[:2].tolist() == ["slide", "status"]
    assert table.empty
    for text in ("3/2", "0/2", "a/b", "2"):
        with pytest.raises(InputError, match="--shard takes I/N"):
            shard_of(text)


def test_stride_must_suit_the_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple"):
        Analyst(Job("nodenet-base", tmp_path, None, SlideConfig(stride=20)))


def test_score_and_detections() -> None:
    grid = np.full((20, 30), 0.1)
    grid[:, 25:] = np.nan
    grid[3, 3] = 0.99
    assert slide_score(grid) == pytest.approx(0.1)
    grid[10:12, 10:12] = 0.8
    assert slide_score(grid) == pytest.approx(0.8)
    assert slide_score(np.array([[0.3, np.nan, 0.7]])) == pytest.approx(0.7)
    assert slide_score(np.full((3, 3), np.nan)) == 0
    places, scores = peaks(grid, 0.031, least=0.15)
    assert {tuple(p) for p in places} <= {(3, 3), (10, 10), (10, 11), (11, 10), (11, 11)}
    assert len(places) == 2
    assert (np.diff(scores) <= 0).all()


def test_command_line_ends_with_a_table_and_a_code(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.svs").write_text("no slide")
    command = [sys.executable, "-m", "sentinode", "slide", "nodenet-base", "--out", tmp_path / "o"]
    done = subprocess.run(
        [*command, slides / "tumour.tif", tmp_path / "bad.svs", "--set", "slide.overlay_px=300"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    assert "2 slides: 1 done, 1 failed" in done.stdout
    assert "is no slide" in done.stdout
    assert "Research use only" in done.stdout
    alone = subprocess.run(
        [*command, tmp_path / "bad.svs"], capture_output=True, text=True, check=False
    )
    assert alone.returncode == 2
