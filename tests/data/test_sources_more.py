import gzip
import pickle
from pathlib import Path

import pytest

from builders.hub import parquet, pcam, tar
from builders.sources import SIDE, class_folders, kaggle, picture, save
from builders.work import third_patch
from sentinode.config import PackConfig
from sentinode.core import spread
from sentinode.data import open_source, pack
from sentinode.errors import InputError


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
    pcam(tmp_path / "gz", gz=True)
    parquet(tmp_path / "h" / "train.parquet")
    tar(tmp_path / "w" / "a.tar")
    class_folders(tmp_path / "c")
    kaggle(tmp_path / "k")
    (tmp_path / "c" / "t.csv").write_text("path,label\n0/p0.png,0\n0/p1.png,1\n1/p0.png,0\n")
    sources = [open_source(tmp_path / n) for n in ("p", "gz", "h", "w", "c", "k", "c/t.csv")]
    for source in sources:
        source.prepare(tmp_path)
    here = [source.read(2) for source in sources]  # what this opens must not hinder sending it
    for number, there in spread(third_patch, sources, range(len(sources)), 2):
        assert (there == here[number]).all()
    for source in sources:
        again = pickle.loads(pickle.dumps(source))
        assert again.fingerprint() == source.fingerprint()
        assert again.table.equals(source.table)


def test_a_packed_set_is_no_source(tmp_path: Path) -> None:
    pack(open_source(kaggle(tmp_path / "k")), tmp_path / "set", PackConfig())
    with pytest.raises(InputError, match="is a packed set already"):
        open_source(tmp_path / "set")


def test_one_image_needs_no_slide_map(tmp_path: Path) -> None:
    root = class_folders(tmp_path)
    save(root / "one.png", picture(1))
    (root / "slide_map.csv").write_text("id,wsi\n0/p0,s0\n")
    assert len(open_source(root / "one.png")) == 1


def test_class_folders_beside_their_archive(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", folds=("train", "valid"))
    archive = tar(root / "all.tar")
    with pytest.raises(InputError, match=r"both all\.tar and images in train/.*move the other"):
        open_source(root)
    archive.unlink()
    shard = parquet(root / "valid" / "0.parquet")
    with pytest.raises(InputError, match=r"both valid.0\.parquet and images in train/"):
        open_source(root)
    shard.unlink()
    assert open_source(root).kind == "class-folders"


def test_loose_images_beside_folders_of_patches(tmp_path: Path) -> None:
    for number, (folds, place) in enumerate(
        ((("",), ""), (("train", "valid"), ""), (("train", "valid"), "valid"))
    ):
        root = class_folders(tmp_path / f"{number}", folds=folds)
        loose = root / place / "loose.png"
        save(loose, picture(1))
        with pytest.raises(InputError, match=r"loose\.png lies beside folders .*1 image\(s\)"):
            open_source(root)
        loose.unlink()
        open_source(root)


@pytest.mark.parametrize("folds", [("",), ("train", "valid")])
def test_a_set_inside_its_source_is_no_class(folds: tuple[str, ...], tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", folds=folds)
    before = open_source(root)
    packed = pack(before, root / "set", PackConfig())
    again = open_source(root)
    assert again.fingerprint() == before.fingerprint()
    assert pack(again, root / "set", PackConfig()).meta == packed.meta
    (root / "other").mkdir()
    with pytest.raises(InputError, match=r"other .*move it away"):
        open_source(root)
