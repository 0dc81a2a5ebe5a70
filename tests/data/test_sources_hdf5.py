import gzip
import pickle
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest

from builders.hub import packed_pixels, patches, pcam
from sentinode.config import PackConfig
from sentinode.data import open_source, pack
from sentinode.errors import DiskFullError, InputError, MissingInputError

FullDisk = namedtuple("FullDisk", "free")


@pytest.mark.parametrize("gz", [False, True])
def test_pcam_as_published(gz: bool, tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        pcam(tmp_path / "p", split, gz=gz, seed=number)
    source = open_source(tmp_path / "p")
    assert (source.kind, source.mpp, len(source)) == ("pcam-hdf5", 0.972, 18)
    table = source.table.set_index("id")
    assert table["label"].tolist() == [0, 1] * 9
    assert table.loc["valid/000004", ["slide", "x", "y", "source_fold"]].tolist() == [
        "camelyon16_valid_001",
        204,
        104,
        "valid",
    ]
    found = packed_pixels(tmp_path / "p", tmp_path)
    assert (found["valid/000003"] == patches(6, 1)[3]).all()
    assert (found["test/000005"] == patches(6, 2)[5]).all()


@pytest.mark.parametrize(
    ("name", "fold"), [("pcam_val", "valid"), ("Training", "train"), ("testing_a", "test")]
)
def test_a_fold_by_another_name(name: str, fold: str, tmp_path: Path) -> None:
    file = pcam(tmp_path, "train").rename(tmp_path / f"{name}_x.h5")
    table = open_source(file).table
    assert set(table["source_fold"]) == {fold}
    assert table["id"].iloc[0] == f"{fold}/000000"


def test_pcam_one_split_and_labels_from_the_table(tmp_path: Path) -> None:
    file = pcam(tmp_path, "train")
    assert len(open_source(file)) == 6
    Path(str(file).replace("_x.h5", "_y.h5")).unlink()
    assert open_source(file).table["label"].tolist() == [0, 1] * 3
    Path(str(file).replace("_x.h5", "_meta.csv")).unlink()
    alone = open_source(file).table
    assert alone["label"].isna().all()
    assert alone["problem"].isna().all()
    with file.open("rb") as source, gzip.open(f"{file}.gz", "wb") as target:
        target.write(source.read())
    file.unlink()
    with pytest.raises(MissingInputError, match=r"expected .*_y\.h5 or .*_meta\.csv beside it"):
        open_source(tmp_path)


def test_only_the_published_files_say_their_scale(tmp_path: Path) -> None:
    file = pcam(tmp_path, "train")
    assert open_source(file).mpp == 0.972
    other = file.rename(tmp_path / "mine_train_x.h5")
    assert open_source(other).mpp is None


def test_labels_and_slides_of_different_length(tmp_path: Path) -> None:
    meta = Path(str(pcam(tmp_path, "train")).replace("_x.h5", "_meta.csv"))
    lines = meta.read_text().splitlines(keepends=True)
    meta.write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match=r"_meta\.csv has 5 lines and .*_y\.h5 has 6 labels"):
        open_source(tmp_path)
    meta.write_text("".join([*lines[:-1], "5,here,12,True,True,w\n"]))
    with pytest.raises(InputError, match="column y: expected whole numbers"):
        open_source(tmp_path)


def test_gzipped_patches_are_unpacked_once(tmp_path: Path) -> None:
    file = pcam(tmp_path / "p", "train", gz=True)
    (tmp_path / "work").mkdir()
    source = open_source(tmp_path / "p")
    with pytest.raises(InputError, match=r"gzipped and cannot be read in place.*gunzip -k"):
        source.read(0)
    before = source.fingerprint()
    source.prepare(tmp_path / "work")
    assert (source.read(3) == patches(6)[3]).all()
    assert (pickle.loads(pickle.dumps(source)).read(4) == patches(6)[4]).all()
    assert source.fingerprint() == before
    (unpacked,) = (tmp_path / "work").iterdir()
    made = unpacked.stat().st_mtime_ns
    open_source(tmp_path / "p").prepare(tmp_path / "work")
    assert unpacked.stat().st_mtime_ns == made
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))
    open_source(tmp_path / "p").prepare(tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 2, "another archive is unpacked anew"


def test_unpacking_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pcam(tmp_path, "train", gz=True)
    source = open_source(tmp_path)
    monkeypatch.setattr("sentinode.core.files.shutil.disk_usage", lambda _: FullDisk(0))
    with pytest.raises(DiskFullError, match=r"unpacking .*_x\.h5\.gz needs 0\.00 GB"):
        source.prepare(tmp_path)
    assert not list(tmp_path.glob("*-camelyon*"))


def test_what_was_unpacked_is_preferred_to_the_archive(tmp_path: Path) -> None:
    file = pcam(tmp_path, "train")
    file.with_name(file.name + ".gz").write_bytes(b"half an archive")
    assert len(open_source(tmp_path)) == 6


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("truncated", "damaged or cut short"),
        ("no x", "expected a dataset 'x', it has patches"),
        ("other length", "has 5 patches and its labels are 6"),
        ("floats", r"x is float64 \(6, 4\), expected uint8"),
        ("labels", "y has the shape"),
        ("text", "expected an HDF5 file"),
    ],
)
def test_damaged_hdf5(harm: str, words: str, tmp_path: Path) -> None:
    file = pcam(tmp_path, "train")
    if harm == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif harm == "text":
        file.write_text("<html>too many requests</html>")
    elif harm == "labels":
        with h5py.File(str(file).replace("_x", "_y"), "w") as opened:
            opened["y"] = np.zeros((6, 2))
    else:
        with h5py.File(file, "w") as opened:
            if harm == "no x":
                opened["patches"] = patches(6)
            elif harm == "other length":
                opened["x"] = patches(5)
            else:
                opened["x"] = np.zeros((6, 4))
    with pytest.raises(InputError, match=words):
        open_source(tmp_path)


def test_gzip_that_ends_early_or_is_none(tmp_path: Path) -> None:
    file = pcam(tmp_path / "p", "train", gz=True)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is damaged or ends early"):
        pack(open_source(tmp_path / "p"), tmp_path / "set", PackConfig())
    assert not list((tmp_path / "set").rglob("*.h5*"))
    file.write_bytes(whole)
    assert len(pack(open_source(tmp_path / "p"), tmp_path / "set", PackConfig()).manifest) == 6
    labels = Path(str(file).replace("_x", "_y"))
    labels.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="is damaged or ends early"):
        open_source(tmp_path / "p")
    with gzip.open(labels, "wb") as stream:
        stream.write(b"no HDF5")
    with pytest.raises(InputError, match="expected an HDF5 file"):
        open_source(tmp_path / "p")
