import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.hub import packed_pixels, parquet, patches, png, tar
from sentinode.config import PackConfig
from sentinode.data import open_source, pack
from sentinode.errors import InputError


def test_parquet_as_the_hub_stores_it(tmp_path: Path) -> None:
    for i in range(2):
        parquet(tmp_path / "h" / "data" / f"train-0000{i}-of-00002.parquet", seed=i)
    parquet(tmp_path / "h" / "data" / "validation-00000-of-00001.parquet", seed=2)
    source = open_source(tmp_path / "h")
    assert (source.kind, len(source)) == ("parquet-images", 18)
    assert source.table["source_fold"].value_counts().to_dict() == {"train": 12, "valid": 6}
    assert source.table["label"].tolist() == [0, 1] * 9
    found = packed_pixels(tmp_path / "h", tmp_path)
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
    assert (packed_pixels(tmp_path / "w", tmp_path)["val-000000/k004"] == patches(6, 1)[4]).all()


def test_damaged_tar(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(InputError, match="expected an uncompressed tar file"):
        open_source(file)
    file.write_bytes(b"no tar")
    with pytest.raises(InputError, match="expected an uncompressed tar file"):
        open_source(file)


def hub(path: Path, **columns: object) -> Path:
    """Write a shard of three patches with these columns beside the images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": png(p), "path": None} for p in patches(3)], kind)
    pq.write_table(pa.table({"image": images, **columns}), path)
    return path


@pytest.mark.parametrize(
    ("given", "labels", "problems"),
    [
        ([True, False, None], [1, 0, None], 0),
        (["Tumor", "no tumour", "1"], [1, 0, 1], 0),
        ([1, 0, -1], [1, 0, None], 0),
        ([-1, -1, -1], [None, None, None], 0),
        ([1, 0, 7], [1, 0, None], 1),
        ([1.0, 0.0, None], [1, 0, None], 0),
    ],
)
def test_labels_of_the_hub(
    given: list[object], labels: list[int | None], problems: int, tmp_path: Path
) -> None:
    table = open_source(hub(tmp_path / "a.parquet", label=given)).table
    assert [None if pd.isna(v) else v for v in table["label"]] == labels
    assert table["problem"].notna().sum() == problems


def test_a_class_that_is_neither(tmp_path: Path) -> None:
    file = parquet(tmp_path / "train.parquet", names=["tumor", "stroma"])
    table = open_source(file).table
    assert table["label"].dropna().tolist() == [1, 1, 1]
    assert set(table["problem"].dropna()) == {"label 'stroma' is not 0 or 1"}
    file = parquet(tmp_path / "train.parquet", names=["cat", "dog"])
    with pytest.raises(InputError, match="its classes are called cat, dog; expected names as"):
        open_source(file)


def test_what_a_shard_says_of_slides(tmp_path: Path) -> None:
    file = hub(tmp_path / "a.parquet", id=["p", "q", None], wsi=["s", "t", "t"], coord_x=[1, 2, 3])
    table = open_source(file).table
    assert table["id"].tolist() == ["p", "q", "a/000002"]
    assert table["slide"].tolist() == ["s", "t", "t"]
    assert table["x"].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="column x: expected whole numbers"):
        open_source(hub(tmp_path / "a.parquet", x=[0.5, 1, 2]))


def test_shards_in_folders_named_after_folds(tmp_path: Path) -> None:
    hub(tmp_path / "h" / "train" / "0000.parquet")
    hub(tmp_path / "h" / "validation" / "0000.parquet")
    assert (
        open_source(tmp_path / "h").table["source_fold"].tolist() == ["train"] * 3 + ["valid"] * 3
    )
    tar(tmp_path / "w" / "test" / "0.tar")
    tar(tmp_path / "w" / "train" / "0.tar")
    assert open_source(tmp_path / "w").table["source_fold"].tolist() == ["test"] * 6 + ["train"] * 6
    tar(tmp_path / "w" / "more.tar")
    assert open_source(tmp_path / "w").table["source_fold"].isna().all(), "one has no fold"


def test_many_threads_read_one_shard(tmp_path: Path) -> None:
    source = open_source(parquet(tmp_path / "train.parquet", 20))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(source.read, range(20)))
    assert (np.stack(read) == patches(20)).all()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def test_samples_that_are_not_whole(tmp_path: Path) -> None:
    image = png(patches(1)[0])
    told = json.dumps({"label": 1, "wsi": "s7", "x": 5, "y": 6.0, "other": [1, 2]}).encode()
    members = {
        "./a.png": image, "./a.json": told, "b.png": image, "d.1/c.PNG": image,
        "d.1/c.cls": b" 0\n", "e.cls": b"1", "f.mask.png": image,
        "g.png": image[:60], "g.cls": b"1", "h.png": image, "h.cls": b"3",
    }  # fmt: skip
    source = open_source(write_tar(tmp_path / "t.tar", members))
    table = source.table.set_index("id")
    assert list(table.index) == ["t/a", "t/b", "t/d.1/c", "t/e", "t/g", "t/h"]
    assert table.loc["t/a", ["label", "slide", "x", "y"]].tolist() == [1, "s7", 5, 6]
    assert table.loc["t/d.1/c", "label"] == 0
    assert table["problem"].dropna().to_dict() == {
        "t/b": "no label: no .cls and no .json with label beside it",
        "t/e": "no image for its label",
        "t/h": "label '3' is not 0 or 1",
    }
    packed = pack(source, tmp_path / "set", PackConfig()).manifest.frame.set_index("id")
    assert "unreadable" in packed.loc["t/g", "problem"]
    assert packed["problem"].isna().sum() == 2


def test_a_tar_without_labels_is_unlabelled(tmp_path: Path) -> None:
    image = png(patches(1)[0])
    table = open_source(write_tar(tmp_path / "t.tar", {"a.png": image, "b.png": image})).table
    assert table["label"].isna().all()
    assert table["problem"].isna().all()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.png": b"1", "a.jpg": b"2"}, "a.png and a.jpg have one key"),
        ({"a.txt": b"1"}, "the tar files hold no images"),
        ({"a.cls": b"1"}, "the tar files hold no images"),
        ({"a.png": b"1", "a.json": b"{"}, "t.tar: a.json: expected a label in plain text or JSON"),
        ({"a.png": b"1", "a.json": b"[" * 100_000}, "expected a label in plain text or JSON"),
        ({"a.png": b"1", "a.json": b"[1]"}, r"expected an object with label, got '\[1\]'"),
        ({"a.png": b"1", "a.json": b'{"label": [1]}'}, r"label is \[1\], expected one value"),
        ({"a.png": b"1", "a.cls": b"\xff"}, "a.cls: expected a label in plain text"),
        ({"a.png": b"1", "a.json": b'{"x": "left"}'}, "column x: expected whole numbers"),
    ],
)
def test_wrong_tars(members: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        open_source(write_tar(tmp_path / "t.tar", members))


def test_a_tar_cut_short_anywhere(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar")
    whole = file.read_bytes()
    with tarfile.open(file) as shard:
        starts = [member.offset for member in shard][1:]
    for cut in (starts[3], starts[3] + 100, starts[3] + 512, starts[4] - 1, starts[-1]):
        file.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"a\.tar.*(cut short|unexpected end)"):
            open_source(file)
    torn = bytearray(whole)
    torn[starts[3] : starts[3] + 512] = b"\x07" * 512
    file.write_bytes(torn)
    with pytest.raises(InputError, match="damaged or cut short"):
        open_source(file)
    file.write_bytes(whole)
    assert len(open_source(file)) == 6
