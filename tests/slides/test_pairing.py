"""Which annotation belongs to which slide."""

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
