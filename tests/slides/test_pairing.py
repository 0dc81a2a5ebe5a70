"""Which annotation belongs to which slide."""

import os
from pathlib import Path

import pytest

from sentinode.errors import InputError, MissingInputError
from sentinode.slides import annotation_files, pair, slide_files


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_masks_beside_slides_are_not_slides(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif", "b.svs", "b.ome.tif.part", ".c.tif", "d_mask.tif")
    assert [p.name for p in slide_files([tmp_path])] == ["a.tif", "b.svs", "d_mask.tif"]
    assert slide_files([tmp_path / "a_mask.tif"]) == [tmp_path / "a_mask.tif"]


def test_what_only_looks_like_an_annotation_is_a_slide(tmp_path: Path) -> None:
    names = [
        "case1-label.ndpi",
        "case1.svs",
        "case1_mask.svs",
        "case1_truth.tif",
        "case1_tumor.svs",
    ]
    touch(tmp_path, *names, "case1_evaluation_mask.tif", "case1-Masks.TIFF")
    assert sorted(p.name for p in slide_files([tmp_path])) == names


def test_pairs_by_name(tmp_path: Path) -> None:
    slides = touch(tmp_path / "s", "tumor_001.tif", "Tumor_002.ome.tif", "tumor_003.svs", "n.svs")
    files = touch(
        tmp_path / "a",
        "Tumor_001.xml",
        "tumor_002.geojson",
        "tumor_003_evaluation_mask.png",
        "tumor_004.xml",
        "readme.md",
    )
    found, strays = pair(slides, annotation_files([tmp_path / "a"]))
    assert {a.name: b.name for a, b in found.items()} == {
        "tumor_001.tif": "Tumor_001.xml",
        "Tumor_002.ome.tif": "tumor_002.geojson",
        "tumor_003.svs": "tumor_003_evaluation_mask.png",
    }
    assert strays == [files[3]]


def test_one_and_one_need_no_name(tmp_path: Path) -> None:
    slide, file = touch(tmp_path, "a.svs", "ncrf_45.json")
    assert pair([slide], [file]) == ({slide: file}, [])


def test_masks_in_the_slides_own_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif", "b.tif")
    slides = slide_files([tmp_path])
    found, strays = pair(slides, annotation_files([tmp_path]))
    assert [p.name for p in found.values()] == ["a_mask.tif"]
    assert not strays


def test_what_does_not_fit(tmp_path: Path) -> None:
    slides = touch(tmp_path / "s", "a.svs", "b.svs")
    files = touch(tmp_path / "a", "a.xml", "a.geojson")
    with pytest.raises(InputError, match="both of the slide a; give one"):
        pair(slides, files)
    with pytest.raises(InputError, match="holds no slides"):
        slide_files([tmp_path / "a"])
    with pytest.raises(MissingInputError, match="no slide or folder"):
        slide_files([tmp_path / "none"])
    with pytest.raises(MissingInputError, match="no annotation file or folder"):
        annotation_files([tmp_path / "none"])
    touch(tmp_path / "t", "a.tif")
    with pytest.raises(InputError, match="have one name"):
        slide_files([tmp_path / "s", tmp_path / "t"])


def dicom(path: Path, series: bytes, *, implicit: bool = False) -> None:
    """Write the head of a file of a series; a series that it refers to stands before."""

    def element(tag: bytes, uid: bytes) -> bytes:
        uid += b"\0" * (len(uid) % 2)
        length = len(uid).to_bytes(4 if implicit else 2, "little")
        return tag + (b"" if implicit else b"UI") + length + uid

    path.parent.mkdir(exist_ok=True)
    referred = element(b"\x20\x00\x0e\x00", b"1.2.9")
    own = element(b"\x20\x00\x0d\x00", b"1.2.77") + element(b"\x20\x00\x0e\x00", series)
    path.write_bytes(bytes(128) + b"DICM" + referred + own + b"pixels of " + path.stem.encode())


@pytest.mark.parametrize("implicit", [False, True])
def test_a_dicom_series_is_one_slide(implicit: bool, tmp_path: Path) -> None:
    for name, series in (("b_1", b"1.2.34"), ("b_0", b"1.2.34"), ("a_0", b"1.2.345")):
        dicom(tmp_path / f"{name}.dcm", series, implicit=implicit)
    touch(tmp_path, "c.dcm", "d.dcm", "e.svs")  # of which nothing is known
    found = [p.name for p in slide_files([tmp_path])]
    assert found == ["a_0.dcm", "b_0.dcm", "c.dcm", "d.dcm", "e.svs"]
    assert slide_files([tmp_path / "b_1.dcm"]) == [tmp_path / "b_1.dcm"]


@pytest.mark.parametrize(
    "name", [".ome.tif", "...tif", ".hidden.svs", "slides.csv.tif", "Slides-2-of-10.csv.svs"]
)
def test_a_name_that_would_be_no_folder_of_its_own_is_refused(name: str, tmp_path: Path) -> None:
    touch(tmp_path, name, "a.tif")
    with pytest.raises(InputError, match="cannot be a slide's name, which is its folder's; rename"):
        slide_files([tmp_path / name, tmp_path / "a.tif"])


def test_folders_and_names_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, os.fsdecode(b"a\xff.svs"))
    with pytest.raises(InputError, match=r"'a\\udcff.svs' is not UTF-8; rename it"):
        slide_files([tmp_path])

    def closed(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        slide_files([tmp_path])
