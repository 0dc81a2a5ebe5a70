"""Damaged TIFF is told of in a line, and what is sound of it is read."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from builders.tiffs import per_cm, picture, write_ome
from sentinode.errors import InputError
from sentinode.slides import Box, Slide
from sentinode.slides.mask_file import MaskImage
from sentinode.types import UInt8Array


def damaged_ome(path: Path, image: UInt8Array, was: bytes, now: bytes) -> None:
    """Write OME-TIFF and replace a piece of its XML by one as long."""
    write_ome(path, image, compression="zlib")
    data = path.read_bytes()
    assert data.count(was) == 1
    assert len(was) == len(now)
    path.write_bytes(data.replace(was, now))


@pytest.mark.parametrize(
    ("was", "now"), [(b'PhysicalSizeX="250.0"', b'PhysicalSizeX="250.0<'), (b"250.0", b"2x0.0")]
)
def test_damaged_ome_xml_says_no_scale(tmp_path: Path, was: bytes, now: bytes) -> None:
    path, image = tmp_path / "a.ome.tif", picture(128, 128)
    damaged_ome(path, image, was, now)
    with Slide(path) as slide, pytest.raises(InputError, match="does not say its µm/px"):
        _ = slide.mpp
    with Slide(path, mpp=0.25) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 128, 128, 0.25), image)


@pytest.mark.parametrize("tiled", [True, False])
def test_a_piece_that_is_damaged_is_said_where_it_is(tmp_path: Path, tiled: bool) -> None:
    path = tmp_path / "a.tif"
    piece = {"tile": (128, 128)} if tiled else {"rowsperstrip": 128}
    tifffile.imwrite(path, picture(), photometric="rgb", compression="zlib", **per_cm(0.5), **piece)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        middle = len(page.dataoffsets) // 2
        offset, count = page.dataoffsets[middle], page.databytecounts[middle]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    path.write_bytes(data)
    with Slide(path) as slide:
        slide.read(0, 0, 100, 100, 0.5)
        with pytest.raises(InputError, match=r"cannot be read at x 0, y 0 of level 0.*damaged"):
            slide.read(0, 0, 900, 700, 0.5)


def test_what_is_sound_is_read_after_what_is_not(tmp_path: Path) -> None:
    image, path = picture(), tmp_path / "a.tif"
    tifffile.imwrite(path, image, tile=(256, 256), compression="zlib", **per_cm(0.5))
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    with Slide(path) as slide:
        with pytest.raises(InputError, match="cannot be read at x"):
            slide.read(0, 0, 96, 96, 0.5)
        sound = slide.read(500, 300, 96, 96, 0.5)
    np.testing.assert_array_equal(sound, image[300:396, 500:596])


def changed(path: Path, tag: str, value: int) -> None:
    """Give a tag of one 16 or 32 bit number another one, or an array another place."""
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags[tag].offset + 8
    data = bytearray(path.read_bytes())
    data[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
def test_a_file_that_ends_before_it_says_where_its_pieces_lie(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture()[..., 0], rowsperstrip=50, **per_cm(0.5))
    changed(path, tag, path.stat().st_size)
    with (
        Slide(path) as slide,
        pytest.raises(InputError, match="the file does not say where piece"),
    ):
        slide.read(0, 0, 900, 700, 0.5)
    mask = MaskImage(path, (900, 700))
    with mask, pytest.raises(InputError, match="damaged or cut short: the file does not say where"):
        mask.tumour(Box(0, 0, 900, 700))


@pytest.mark.parametrize("tag", ["ImageWidth", "ImageLength", "RowsPerStrip", "TileWidth"])
def test_an_image_without_a_side_is_damaged(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "a.tif"
    how = {"tile": (64, 64)} if tag == "TileWidth" else {"rowsperstrip": 50}
    tifffile.imwrite(path, picture()[..., 0], **how, **per_cm(0.5))  # type: ignore[arg-type]
    changed(path, tag, 0)
    with pytest.raises(InputError, match=r"cannot be opened.*damaged or cut short"):
        Slide(path)
    with pytest.raises(InputError, match=r"cannot be read as a mask image: it has \d+x\d+ px in"):
        MaskImage(path, (900, 700))
