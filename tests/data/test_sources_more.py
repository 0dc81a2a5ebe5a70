import gzip
import pickle
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.hub import parquet, patches, pcam, png, tar
from builders.sources import SIDE, class_folders, kaggle, picture, save
from sentinode.config import PackConfig
from sentinode.data import open_source, pack
from sentinode.errors import DiskFullError, InputError, MissingInputError

FullDisk = namedtuple("FullDisk", "free")


def pixels(root: Path, tmp: Path) -> dict[str, np.ndarray]:
    """Pack a source and return each patch by its id."""
    packed = pack(open_source(root), tmp / "set", PackConfig())
    return dict(zip(packed.manifest.frame["id"], packed.images, strict=True))


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
    found = pixels(tmp_path / "p", tmp_path)
    assert (found["valid/000003"] == patches(6, 1)[3]).all()
    assert (found["test/000005"] == patches(6, 2)[5]).all()


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


def test_a_table_of_paths(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "a ü" / f"p {i}.png", picture(i))
    text = (
        "\ufeffpath, label ,slide,patient,x,y,split\r\n"
        '"a ü/p 0.png", 1.0 ,s1,p1,5,6,train\r\n'
        "a ü\\p 1.png,0,s2,p2,7,8,val\r\n"
        "a ü/p 2.png,,s2,p2,,,Test\r\n"
        "a ü/gone.png,1,s3,p3,1,1,train\r\n"
        "a ü/other.png,7,s3,p3,1,1,train\r\n"
    )
    (tmp_path / "patches.csv").write_bytes(text.encode())
    source = open_source(tmp_path)
    table = source.table.set_index("id")
    assert source.kind == "table"
    assert table["label"].fillna(-1).to_dict() == {
        "a ü/p 0": 1,
        "a ü/p 1": 0,
        "a ü/p 2": -1,
        "a ü/gone": 1,
        "a ü/other": -1,
    }
    assert table["source_fold"].tolist() == ["train", "train", "train", "valid", "test"]
    assert table.loc["a ü/p 1", ["slide", "patient", "x", "y"]].tolist() == ["s2", "p2", 7, 8]
    assert table["problem"].dropna().to_dict() == {
        "a ü/gone": "missing: there is no such file",
        "a ü/other": "missing: there is no such file",
    }
    assert (pixels(tmp_path, tmp_path)["a ü/p 1"] == picture(1)).all()
    named = tmp_path / "other.parquet"
    frame = pd.DataFrame({"path": ["a ü/p 0.png"], "label": [True], "id": ["one"]})
    frame.to_parquet(named)
    assert open_source(named).table["label"].tolist() == [1]
    assert open_source(named).table["id"].tolist() == ["one"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,1\n", "expected the columns path, got file,label"),
        ("path\n", "no patches, only a header"),
        ("path,label\nb.png,1\n", "none of its 1 files is there"),
        ("path,label\na.png,1\na.png,0\n", "two patches have the id 'a'"),
        ("path,label\na.png,tumour\n", "1 of 1 labels are not 0 or 1"),
        ("path,split\na.png,holdout\n", "split 'holdout' is not known"),
        ("path,x\na.png,left\n", "column x: expected whole numbers"),
        ("path,label\n,1\n", "line 2 has no path"),
    ],
)
def test_wrong_tables(text: str, words: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "patches.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(tmp_path)


def test_parquet_as_the_hub_stores_it(tmp_path: Path) -> None:
    for i in range(2):
        parquet(tmp_path / "h" / "data" / f"train-0000{i}-of-00002.parquet", seed=i)
    parquet(tmp_path / "h" / "data" / "validation-00000-of-00001.parquet", seed=2)
    source = open_source(tmp_path / "h")
    assert (source.kind, len(source)) == ("parquet-images", 18)
    assert source.table["source_fold"].value_counts().to_dict() == {"train": 12, "valid": 6}
    assert source.table["label"].tolist() == [0, 1] * 9
    found = pixels(tmp_path / "h", tmp_path)
    name = "data/train-00001-of-00002/000005"
    assert (found[name] == patches(6, 1)[5]).all()
    assert len(open_source(tmp_path / "h" / "data" / "train-00000-of-00002.parquet")) == 6


def test_the_hubs_class_names_decide_what_a_number_means(tmp_path: Path) -> None:
    file = parquet(tmp_path / "train.parquet", names=["tumor", "normal"])
    assert open_source(file).table["label"].tolist() == [1, 0] * 3
    file = parquet(tmp_path / "train.parquet", names=["0", "1"])
    assert open_source(file).table["label"].tolist() == [0, 1] * 3


def test_damaged_parquet(tmp_path: Path) -> None:
    file = parquet(tmp_path / "train.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="is damaged: expected Parquet"):
        open_source(file)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": png(patches(1)[0]), "path": "a"}, {"bytes": b"x", "path": "b"}, None]
    pq.write_table(pa.table({"image": pa.array(images, kind)}), file)
    packed = pack(open_source(file), tmp_path / "set", PackConfig())
    problems = packed.manifest.frame["problem"]
    assert pd.isna(problems[0])
    assert "not an image" in problems[1]
    assert "bytes are missing" in problems[2]
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t" / "a.parquet")
    with pytest.raises(InputError, match="expected the column path"):
        open_source(tmp_path / "t" / "a.parquet")


@pytest.mark.parametrize("ending", ["cls", "json"])
def test_webdataset(ending: str, tmp_path: Path) -> None:
    tar(tmp_path / "w" / "train-000000.tar", ending=ending)
    tar(tmp_path / "w" / "val-000000.tar", ending=ending, seed=1)
    source = open_source(tmp_path / "w")
    assert source.kind == "webdataset"
    assert source.table["label"].tolist() == [0, 1] * 6
    assert source.table["source_fold"].tolist() == ["train"] * 6 + ["valid"] * 6
    assert source.table["slide"].notna().all() == (ending == "json")
    assert (pixels(tmp_path / "w", tmp_path)["val-000000/k004"] == patches(6, 1)[4]).all()


def test_damaged_tar(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(InputError, match="expected an uncompressed tar file"):
        open_source(file)
    file.write_bytes(b"no tar")
    with pytest.raises(InputError, match="expected an uncompressed tar file"):
        open_source(file)


def test_a_phantom_cohort_says_what_it_is(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "phantom.json").write_text('{"mpp": 0.972}')
    source = open_source(root)
    assert (source.kind, source.mpp) == ("phantom", 0.972)
    (root / "phantom.json").write_text('{"mpp": "1 um"}')
    with pytest.raises(InputError, match="mpp is '1 um', expected micrometres"):
        open_source(root)


def test_a_slide_map_for_any_source(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    table = tmp_path / "map.csv"
    table.write_text("id,wsi,centre\n0/p0.png,s0,c0\n1/p1,s1,c1\n")
    known = open_source(root, table).table.set_index("id")
    assert known["slide"].dropna().to_dict() == {"0/p0": "s0", "1/p1": "s1"}
    assert known.loc["1/p1", "centre"] == "c1"
    flat = tmp_path / "g"
    for name in ("a", "b"):
        save(flat / "0" / f"{name}.png", picture(ord(name)))
    table.write_text("id,wsi\na.tif,s0\nb.tif,s1\n")
    assert open_source(flat, table).table["slide"].tolist() == ["s0", "s1"]
    table.write_text("id,wsi\nzz,s0\n")
    with pytest.raises(InputError, match="none of its 1 ids is one of the 12 patches"):
        open_source(root, table)


@pytest.mark.parametrize(
    ("written", "matched"),
    [
        (["a", "b"], ["train/a", "valid/b"]),
        (["data/train/a.tif", "data\\valid\\b.tif"], ["train/a", "valid/b"]),
        (["./train/a.png", "other/b"], ["train/a"]),
        (["train/a", "a"], ["train/a"]),
    ],
)
def test_ids_of_a_slide_map_with_and_without_folders(
    written: list[str], matched: list[str], tmp_path: Path
) -> None:
    for name in ("train/a", "valid/b", "valid/c"):
        save(tmp_path / "f" / f"{name}.png", picture(ord(name[-1])))
    table = tmp_path / "map.csv"
    table.write_text("id,wsi\n" + "".join(f"{name},s{i}\n" for i, name in enumerate(written)))
    slides = open_source(tmp_path / "f", table).table.set_index("id")["slide"]
    assert slides.dropna().to_dict() == {name: f"s{i}" for i, name in enumerate(matched)}


def test_a_slide_map_that_is_not_clear(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    table = tmp_path / "map.csv"
    for text, words in (
        ("id,wsi\np0,s0\n", "'p0' fits more than once; give ids with their folders, as '0/p0'"),
        ("id,wsi\na/0/p0,s0\nb/0/p0,s1\n", "'0/p0' fits more than once"),
        ("id,name\np0,s0\n", "expected the columns id,wsi, got id,name"),
        ("id,wsi\n", "no ids, only a header"),
        ("id,wsi\nzz.tif,s0\n", "it has 'zz', the patches are called '0/p0', '0/p1', '0/p2'"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=words):
            open_source(root, table)
    table.write_text("slide,id,coord_x,coord_y\ns0,0/p3.png,5,6\n")
    row = open_source(root, table).table.set_index("id").loc["0/p3"]
    assert row[["slide", "x", "y"]].tolist() == ["s0", 5, 6]


def test_a_gzipped_slide_map_lies_in_the_folder(tmp_path: Path) -> None:
    root = class_folders(tmp_path)
    packed = gzip.compress(b"id,wsi\n0/p0,s0\n")
    (root / "patch_id_wsi_full.csv.gz").write_bytes(packed)
    assert open_source(root).table["slide"].dropna().tolist() == ["s0"]
    (root / "patch_id_wsi_full.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(InputError, match="expected a CSV with a header"):
        open_source(root)


def test_class_folders_with_folders_inside_and_loops(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    save(root / "0" / "slide 7" / "a b.png", picture(500))
    (root / "0" / "slide 7" / "loop").symlink_to(root / "0", target_is_directory=True)
    (root / "0" / "itself").symlink_to(root / "0" / "itself")
    save(tmp_path / "elsewhere" / "ü.png", picture(501))
    (root / "1" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    source = open_source(root)
    assert {"0/slide 7/a b", "1/link/ü"} < set(source.table["id"])
    assert len(source) == 14
    row = source.table["id"].tolist().index("1/link/ü")
    assert (source.read(row) == picture(501)).all()


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    here = open_source(Path())
    assert here.table["path"].tolist() == open_source(tmp_path).table["path"].tolist()
    assert here.read(0).shape == (SIDE, SIDE, 3)


def test_every_source_reaches_a_new_process(tmp_path: Path) -> None:
    pcam(tmp_path / "p")
    parquet(tmp_path / "h" / "train.parquet")
    tar(tmp_path / "w" / "a.tar")
    for name in ("p", "h", "w"):
        source = open_source(tmp_path / name)
        first = source.read(2)
        again = pickle.loads(pickle.dumps(source))
        assert (again.read(2) == first).all()
        assert source.fingerprint() == again.fingerprint()
    assert SIDE == 24
