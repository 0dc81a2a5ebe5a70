from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from builders.sources import kaggle, save
from sentinode.cli.main import app
from sentinode.config import PackConfig
from sentinode.data import RestainedSource, open_source, pack, stain_target
from sentinode.errors import InputError, MissingInputError
from sentinode.stain import fit_target, normalise
from sentinode.tables import PackedSet


def tissue(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    amounts = rng.gamma(2.0, 0.4, (24, 24, 2)) * (rng.random((24, 24, 2)) < 0.7)
    vectors = np.array([[0.6, 0.7, 0.35], [0.2, 0.93, 0.3]])
    return (240 * np.exp(-amounts @ vectors)).astype(np.uint8)


@pytest.fixture
def packed(tmp_path: Path) -> PackedSet:
    root = kaggle(tmp_path / "k", labelled=6, unlabelled=1)
    for i in range(6):
        save(root / "train" / f"a{i:03d}.tif", tissue(i))
    (root / "train" / "a005.tif").write_text("no image")
    return pack(open_source(root), tmp_path / "set", PackConfig())


def test_a_set_in_other_colours(packed: PackedSet, tmp_path: Path) -> None:
    save(tmp_path / "look.png", tissue(99)[:, :, ::-1].copy())
    look = stain_target(tmp_path / "look.png", "macenko")
    made = pack(RestainedSource(packed, look), tmp_path / "new", PackConfig())
    assert (made.images[0] == normalise(packed.images[:1], look)[0]).all()
    columns = ["id", "label", "source_fold"]
    pd.testing.assert_frame_equal(made.manifest.frame[columns], packed.manifest.frame[columns])
    assert "not an image" in made.manifest.frame["problem"].dropna().item()
    assert made.meta.kind == "kaggle, macenko"
    assert made.meta.content_hash != packed.meta.content_hash


def test_the_look_of_a_set_and_of_what_has_none(packed: PackedSet, tmp_path: Path) -> None:
    look = stain_target(packed.folder, "reinhard")
    assert look.method == "reinhard"
    save(tmp_path / "white.png", np.full((24, 24, 3), 250, np.uint8))
    with pytest.raises(InputError, match=r"white.png: the target shows too little"):
        stain_target(tmp_path / "white.png", "vahadane")
    with pytest.raises(MissingInputError):
        stain_target(tmp_path / "none.png", "macenko")
    (tmp_path / "text.png").write_text("x")
    with pytest.raises(InputError, match="not an image"):
        stain_target(tmp_path / "text.png", "macenko")
    assert fit_target(packed.images[:3]).method == "macenko"


def test_the_command(packed: PackedSet, tmp_path: Path) -> None:
    def run(*arguments: str) -> object:
        return CliRunner().invoke(app, ["stain", str(packed.folder), *arguments])

    look = tmp_path / "look.png"
    save(look, tissue(99))
    done = run(
        "--target", str(look), "--out", str(tmp_path / "n"), "--sheet", str(tmp_path / "s.png")
    )
    assert done.exit_code == 0, done
    assert len(PackedSet.open(tmp_path / "n").manifest) == 7
    assert (tmp_path / "s.png").stat().st_size > 100
    for wrong, words in (
        ((), "nothing to write"),
        (("--out", str(packed.folder)), "a folder of their own"),
        (("--out", "x", "--method", "macenco"), "macenko"),
        (("--sheet", "x.jpg"), "ending in .png"),
    ):
        failed = run("--target", str(look), *wrong)
        assert words in str(failed.exception)


def test_a_set_whose_slides_were_completed_is_made_anew(packed: PackedSet, tmp_path: Path) -> None:
    save(tmp_path / "look.png", tissue(99))
    look = stain_target(tmp_path / "look.png", "reinhard")
    pack(RestainedSource(packed, look), tmp_path / "new", PackConfig())
    for column, value in (("slide", "s1"), ("patient", "p"), ("centre", "c"), ("x", 4), ("y", 5)):
        frame = packed.manifest.frame.assign(**{column: value})
        type(packed.manifest).make(frame, {}).write(packed.folder / "manifest.parquet")
        again = PackedSet.open(packed.folder)
        made = pack(RestainedSource(again, look), tmp_path / "new", PackConfig())
        assert (made.manifest.frame[column].astype(str) == str(value)).all()
    before = (tmp_path / "new" / "images.npy").stat().st_mtime_ns
    pack(RestainedSource(again, look), tmp_path / "new", PackConfig())
    assert (tmp_path / "new" / "images.npy").stat().st_mtime_ns == before


def test_sets_without_a_usable_patch(packed: PackedSet, tmp_path: Path) -> None:
    frame = packed.manifest.frame.assign(excluded="listed")
    type(packed.manifest).make(frame, {}).write(packed.folder / "manifest.parquet")
    with pytest.raises(InputError, match="set: none of its patches is usable"):
        stain_target(packed.folder, "macenko")
    save(tmp_path / "look.png", tissue(99))
    sheet = ("--target", str(tmp_path / "look.png"), "--sheet", str(tmp_path / "s.png"))
    done = CliRunner().invoke(app, ["stain", str(packed.folder), *sheet])
    assert isinstance(done.exception, InputError)
    assert "none of its patches is usable" in str(done.exception)
