"""What a cohort holds, that it is its seed's alone, and that its files are whole."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image

from sentinode.config import PhantomConfig
from sentinode.data import open_source
from sentinode.errors import BusyError, InputError
from sentinode.phantom import MPP, label_of, write_cohort

from .conftest import SMALL


def hashes(folder: Path) -> dict[str, str]:
    """Hash every file of a cohort but the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def truth(cohort: Path) -> pd.DataFrame:
    """Place, fold and label of every patch."""
    train = pd.read_csv(cohort / "train_labels.csv").assign(fold="train")
    test = pd.read_csv(cohort / "truth.csv").assign(fold="test")
    return pd.read_csv(cohort / "slide_map.csv").merge(pd.concat([train, test]), on="id")


def test_layout(cohort: Path) -> None:
    rows = truth(cohort)
    assert len(rows) == SMALL.patches
    for fold in ("train", "test"):
        named = {f"{name}.tif" for name in rows["id"][rows["fold"] == fold]}
        assert {path.name for path in (cohort / fold).iterdir()} == named
    assert {path.name for path in (cohort / "masks").iterdir()} == {f"{i}.png" for i in rows["id"]}
    assert rows["id"].str.fullmatch(r"[0-9a-f]{40}").all()
    sample = pd.read_csv(cohort / "sample_submission.csv")
    assert list(sample) == ["id", "label"]
    assert set(sample["id"]) == set(rows["id"][rows["fold"] == "test"])
    assert rows.groupby("fold")["label"].nunique().eq(2).all()
    both = rows.groupby("wsi")["fold"].nunique()
    assert (both == 1).all(), "a slide in both folds"


def test_patches_are_plain_tiffs(cohort: Path) -> None:
    for path in sorted((cohort / "train").iterdir())[:5]:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("TIFF", "RGB", (96, 96))
            assert image.info["compression"] == "raw"


def test_source_reads_it(cohort: Path) -> None:
    source = open_source(cohort)
    assert (source.kind, source.mpp) == ("phantom", MPP)
    assert len(source) == SMALL.patches
    assert source.table["problem"].isna().all()
    assert source.table["slide"].notna().all()
    assert source.table["label"].isna().sum() == len(pd.read_csv(cohort / "truth.csv"))


def test_label_is_the_masks_centre(cohort: Path) -> None:
    rows = truth(cohort)
    rims = 0
    for row in rows.itertuples():
        mask = np.asarray(Image.open(cohort / "masks" / f"{row.id}.png"))
        assert set(np.unique(mask)) <= {0, 255}
        assert row.label == int((mask[32:64, 32:64] == 255).any()) == label_of(mask > 0)
        rims += row.label == 0 and bool(mask.any())
    assert 0.3 <= rows["label"].mean() <= 0.65
    assert rims > 0, "no normal patch with tumour in its rim"


def test_patch_is_a_crop_of_the_whole_slide(cohort: Path) -> None:
    rows = truth(cohort)
    broken = json.loads((cohort / "phantom.json").read_text())["broken"]
    rows = rows[(rows["wsi"] == "phantom_000") & ~rows["id"].isin(broken)]
    assert len(rows) > 10
    (fold,) = rows["fold"].unique()
    for name, folder, suffix in (("", fold, "tif"), ("_mask", "masks", "png")):
        with openslide.OpenSlide(cohort / "slides" / f"phantom_000{name}.tif") as slide:
            for row in rows.itertuples():
                crop = np.asarray(slide.read_region((row.x, row.y), 0, (96, 96)).convert("RGB"))
                patch = Image.open(cohort / folder / f"{row.id}.{suffix}").convert("RGB")
                np.testing.assert_array_equal(crop, np.asarray(patch))


def test_slide_is_a_pyramid_with_its_scale(cohort: Path) -> None:
    assert len(list((cohort / "slides").iterdir())) == 2 * SMALL.whole_slides
    with openslide.OpenSlide(cohort / "slides" / "phantom_000.tif") as slide:
        assert slide.level_count > 1
        assert slide.level_downsamples == pytest.approx([2**i for i in range(slide.level_count)])
        for axis in "xy":
            mpp = float(slide.properties[f"openslide.mpp-{axis}"])
            assert mpp == pytest.approx(MPP, rel=1e-4)


def test_same_seed_same_bytes_whatever_the_workers(cohort: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "again", SMALL.model_copy(update={"workers": 2}))
    assert hashes(tmp_path / "again") == hashes(cohort)


def test_a_finished_cohort_is_kept_and_no_other_written_over_it(cohort: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*.*") if path.is_file()}
    kept = write_cohort(cohort, SMALL)
    assert kept.train + kept.test == SMALL.patches
    with pytest.raises(InputError, match="another cohort"):
        write_cohort(cohort, SMALL.model_copy(update={"seed": 8}))
    after = {path: path.stat().st_mtime_ns for path in cohort.rglob("*.*") if path.is_file()}
    del before[cohort / ".lock"], after[cohort / ".lock"]
    assert after == before


def test_kill_and_go_on(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "sentinode", "phantom", "--out", str(out)]
    for key in ("slides", "patches", "seed", "whole_slides", "workers"):
        command += ["--set", f"phantom.{key}={getattr(SMALL, key)}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as work:
        deadline = time.monotonic() + 30
        while not any(out.glob("train/*.tif")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(work.pid, signal.SIGKILL)
    (out / "slides" / ".phantom_000.1.partial.tif").write_bytes(b"II")  # as a kill there leaves it
    assert not (out / "phantom.json").exists()
    for path in out.glob("train/[!.]*.tif"):
        assert path.read_bytes() == (cohort / "train" / path.name).read_bytes()
    write_cohort(out, SMALL)
    assert hashes(out) == hashes(cohort)


def test_kill_before_the_first_slide_and_other_versions(tmp_path: Path) -> None:
    for name in ("train", "test", "masks", "slides"):
        (tmp_path / name).mkdir()
    assert write_cohort(tmp_path, SMALL).slides == SMALL.slides
    record = json.loads((tmp_path / "phantom.json").read_text())
    record["provenance"]["packages"] = {"numpy": "0.1"}
    (tmp_path / "phantom.json").write_text(json.dumps(record))
    before = (tmp_path / "slide_map.csv").stat().st_mtime_ns
    write_cohort(tmp_path, SMALL)
    assert (tmp_path / "slide_map.csv").stat().st_mtime_ns == before


def test_begun_with_other_versions_it_goes_on(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pd.DataFrame.to_parquet

    def full(frame: pd.DataFrame, path: Path, **how: object) -> None:
        if ".0001." in path.name:
            raise KeyboardInterrupt
        write(frame, path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", full)
        with pytest.raises(KeyboardInterrupt):
            write_cohort(tmp_path, SMALL)
    stamp = tmp_path / ".slides" / "made.json"
    made = json.loads(stamp.read_text())
    stamp.write_text(json.dumps(made | {"packages": {"numpy": "0.1"}}))
    write_cohort(tmp_path, SMALL)
    assert hashes(tmp_path) == hashes(cohort)


def test_bad_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises((InputError, BusyError)):
        write_cohort(tmp_path / "file", SMALL)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "train_labels.csv").write_text("id,label\n")
    with pytest.raises(InputError, match="other data"):
        write_cohort(tmp_path / "real", SMALL)
    assert [path.name for path in (tmp_path / "real").glob("*.csv")] == ["train_labels.csv"]


def test_fewer_patches_than_slides(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 slides need as many patches, got 4"):
        write_cohort(tmp_path / "few", PhantomConfig(slides=5, patches=4))
