"""Reading, against arrays written by other libraries."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from PIL.PngImagePlugin import PngInfo

from builders.tiffs import per_cm, picture, write_ome
from sentinode.errors import InputError, MissingInputError
from sentinode.slides import Slide, reader, write_pyramid
from sentinode.slides.backend import GLASS
from sentinode.slides.reader import SAMPLE_BYTES


@pytest.mark.parametrize(
    ("how", "vendor"),
    [
        ({}, "tiff"),
        ({"compression": "zlib"}, "tiff"),
        ({"compression": "zlib", "rowsperstrip": 37, "predictor": True}, "tiff"),
        ({"planarconfig": "separate"}, "tiff"),
        ({"planarconfig": "separate", "tile": (64, 96), "compression": "lzw"}, "generic-tiff"),
        ({"tile": (256, 128), "compression": "zlib"}, "generic-tiff"),
        ({"tile": (256, 256), "bigtiff": True}, "generic-tiff"),
    ],
)
def test_lossless_tiff_is_read_as_written(tmp_path: Path, how: dict[str, Any], vendor: str) -> None:
    image = picture()
    written = np.moveaxis(image, 2, 0) if "planarconfig" in how else image
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="rgb", **per_cm(0.5), **how)
    with Slide(tmp_path / "a.tif") as slide:
        assert slide.vendor == vendor
        assert slide.dimensions == (900, 700)
        assert slide.mpp == pytest.approx(0.5)
        np.testing.assert_array_equal(slide.read(130, 50, 300, 200, 0.5), image[50:250, 130:430])
        outside = slide.read(-10, 690, 930, 30, 0.5)
    np.testing.assert_array_equal(outside[:10, 10:910], image[690:])
    assert (outside[10:] == 255).all()
    assert (outside[:, :10] == 255).all()
    assert (outside[:, 910:] == 255).all()


def test_ome_tiff_with_its_pyramid_and_scale(tmp_path: Path) -> None:
    image = picture()
    write_ome(tmp_path / "a.ome.tif", image, compression="zlib")
    with Slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.vendor, slide.name) == ("ome-tiff", "a")
        assert slide.mpp == pytest.approx(0.25)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for step in (1, 2, 4):
            got = slide.read(40, 80, 100, 60, 0.25 * step)
            expected = image[::step, ::step][80 // step :, 40 // step :][:60, :100]
            np.testing.assert_array_equal(got, expected)


def test_ome_tiff_with_its_channels_apart(tmp_path: Path) -> None:
    image = picture(200, 300)
    planes = np.moveaxis(image, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        planes,
        photometric="minisblack",
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    with Slide(tmp_path / "a.ome.tif") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 200, 0.5), image)


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", ()), ("TYX", ()), ("ZYXS", (3,))])
def test_a_stack_is_not_taken_for_colours(tmp_path: Path, axes: str, shape: tuple[int]) -> None:
    path, stack = tmp_path / "a.ome.tif", np.zeros((3, 64, 96, *shape), np.uint8)
    photometric = "rgb" if shape else "minisblack"
    tifffile.imwrite(path, stack, photometric=photometric, metadata={"axes": axes})
    with pytest.raises(InputError, match=rf"stack of 3 pages along {axes[0]} \(axes {axes}\), exp"):
        Slide(path)


@pytest.mark.parametrize("ome", [False, True])
def test_jpeg_tiles_are_read_as_the_writers_library_reads_them(tmp_path: Path, ome: bool) -> None:
    path, image = tmp_path / "a.tif", picture()
    if ome:
        write_ome(path, image, compression="jpeg")
    else:
        tifffile.imwrite(path, image, photometric="rgb", compression="jpeg", rowsperstrip=64)
    with Slide(path, mpp=0.25) as slide:
        got = slide.read(0, 0, 900, 700, 0.25)
    np.testing.assert_array_equal(got, tifffile.imread(path))


def test_gray_and_image_files(tmp_path: Path) -> None:
    image = picture(60, 80)
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "gray.tif", image[..., 0])
    with Slide(tmp_path / "a.png", mpp=1.0) as slide:
        np.testing.assert_array_equal(slide.read(10, 5, 20, 10, 1.0), image[5:15, 10:30])
    with Slide(tmp_path / "gray.tif", mpp=1.0) as slide:
        gray = slide.read(0, 0, 80, 60, 1.0)
    np.testing.assert_array_equal(gray, np.repeat(image[..., :1], 3, 2))


def test_image_files_with_transparency_or_16_bits(tmp_path: Path) -> None:
    image = picture(60, 80)
    opacity = np.full((60, 80, 1), 255, np.uint8)
    opacity[:, :30] = 0
    Image.fromarray(np.concatenate([image, opacity], 2)).save(tmp_path / "a.png")
    with Slide(tmp_path / "a.png", mpp=1.0) as slide:
        seen = slide.read(0, 0, 80, 60, 1.0)
    assert (seen[:, :30] == GLASS).all()
    np.testing.assert_array_equal(seen[:, 30:], image[:, 30:])
    Image.fromarray(image[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        Slide(tmp_path / "deep.png", mpp=1.0)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("unassalpha", {}),
        ("assocalpha", {"tile": (16, 32), "compression": "zlib"}),
        ("unassalpha", {"planarconfig": "separate"}),
        ("unspecified", {}),
    ],
)
def test_transparency_of_a_tiff_shows_glass(tmp_path: Path, kind: str, how: dict[str, Any]) -> None:
    path, image = tmp_path / "a.ome.tif", picture(60, 80)
    opacity = np.full((60, 80, 1), 255, np.uint8)
    opacity[:, :30], opacity[:, 30:50] = 0, 100
    share = opacity / 255
    colours = image * share if kind == "assocalpha" else image
    pixels = np.concatenate([colours.round().astype(np.uint8), opacity], 2)
    written = np.moveaxis(pixels, 2, 0) if "planarconfig" in how else pixels
    axes = "SYX" if "planarconfig" in how else "YXS"
    tifffile.imwrite(
        path, written, photometric="rgb", extrasamples=[kind], metadata={"axes": axes}, **how
    )
    with Slide(path, mpp=1.0) as slide:
        assert slide.vendor == "ome-tiff"
        seen = slide.read(0, 0, 80, 60, 1.0)
    expected = image if kind == "unspecified" else image * share + GLASS * (1 - share)
    assert np.abs(seen - expected).max() <= 1
    pixels[..., 3] = 0  # as programs write it that know of no opacity
    tifffile.imwrite(
        path,
        np.moveaxis(pixels, 2, 0) if "planarconfig" in how else pixels,
        photometric="rgb",
        extrasamples=[kind],
        metadata={"axes": axes},
        **how,
    )
    with Slide(path, mpp=1.0) as slide:
        assert np.array_equal(slide.read(0, 0, 80, 60, 1.0), pixels[..., :3])


def test_a_png_with_more_text_than_pillow_takes(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("comment", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    Image.fromarray(picture(60, 80)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(InputError, match=r"a\.png cannot be decoded: Decompressed data too large"):
        Slide(tmp_path / "a.png", mpp=1.0)


@pytest.mark.parametrize("mpp", [0.31, 0.5, 0.97, 2.3])
def test_another_scale_is_the_whole_image_rescaled(tmp_path: Path, mpp: float) -> None:
    image, ratio = picture(), mpp / 0.4
    write_pyramid(tmp_path / "a.tif", image, 0.4)
    width, height = int(900 / ratio), int(700 / ratio)
    with Slide(tmp_path / "a.tif") as slide:
        whole = slide.read(0, 0, width, height, mpp).astype(int)
    box = (0, 0, width * ratio, height * ratio)
    expected = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS, box)
    # a little grain is all that another filter may leave
    assert np.abs(whole - np.asarray(expected, int))[4:-4, 4:-4].mean() < 1.5


def test_regions_side_by_side_meet_without_a_seam(tmp_path: Path) -> None:
    image = picture()
    write_pyramid(tmp_path / "a.tif", image, 0.5)
    with Slide(tmp_path / "a.tif") as slide:
        whole = slide.read(0, 0, 300, 200, 0.75).astype(int)
        for x in (0, 100, 200):
            part = slide.read(x * 3 // 2, 60, 100, 100, 0.75).astype(int)
            assert np.abs(part - whole[40:140, x : x + 100]).max() <= 1


def test_a_large_region_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pyramid(tmp_path / "a.tif", picture(), 0.5)
    with Slide(tmp_path / "a.tif") as slide:
        once = [slide.read(-20, 5, 320, 220, mpp).astype(int) for mpp in (0.5, 0.75, 1.9)]
        monkeypatch.setattr(reader, "BLOCK", 64)
        blocks = [slide.read(-20, 5, 320, 220, mpp).astype(int) for mpp in (0.5, 0.75, 1.9)]
    for a, b in zip(once, blocks, strict=True):
        assert np.abs(a - b).max() <= 1


def test_thumbnail_keeps_shape_and_tells_its_scale(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", picture(), 0.5)
    with Slide(tmp_path / "a.tif") as slide:
        small, mpp = slide.thumbnail(100)
        same, _ = slide.thumbnail(5000)
    assert small.shape == (78, 100, 3)
    assert mpp == pytest.approx(4.5)
    assert same.shape == (700, 900, 3)


def test_opened_as_openslide_opens_it(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", picture(), 0.5)
    with Slide(tmp_path / "a.tif") as slide, openslide.OpenSlide(tmp_path / "a.tif") as other:
        assert [(v.width, v.height) for v in slide.levels] == list(other.level_dimensions)
        got = slide.read(100, 60, 200, 100, 1.0)
        region = other.read_region((100, 60), 1, (200, 100)).convert("RGB")
    np.testing.assert_array_equal(got, np.asarray(region))


def test_fingerprint_follows_content(tmp_path: Path) -> None:
    image = picture()
    for name in ("a", "b"):
        write_pyramid(tmp_path / f"{name}.tif", image, 0.5)
    image[300:310, 400:410] = 0
    write_pyramid(tmp_path / "c.tif", image, 0.5)
    marks = []
    for name in ("a", "b", "c"):
        with Slide(tmp_path / f"{name}.tif") as slide:
            marks.append(slide.fingerprint)
    assert marks[0] == marks[1] != marks[2]


def test_fingerprint_of_a_small_file_sees_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    image = np.full((1500, 3000, 3), 200, np.uint8)
    tifffile.imwrite(path, image, photometric="rgb", **per_cm(0.5))

    def mark() -> str:
        with Slide(path) as slide:
            return slide.fingerprint

    def overwrite(value: int) -> None:
        with path.open("r+b") as handle:
            handle.seek(SAMPLE_BYTES + 20_000)  # between two of the pieces
            handle.write(bytes([value]) * 500)

    before = mark()
    overwrite(1)
    assert mark() != before
    monkeypatch.setattr(reader, "HASHED_WHOLE", 1000)
    before = mark()
    overwrite(2)
    assert mark() == before
    path.write_bytes(path.read_bytes() + bytes(1))
    assert mark() != before


def test_scale_is_never_guessed(tmp_path: Path) -> None:
    image = picture(64, 64)
    tifffile.imwrite(tmp_path / "none.tif", image)
    tifffile.imwrite(tmp_path / "dpi.tif", image, resolution=(72, 72), resolutionunit="INCH")
    uneven = {"resolution": (1e4 / 0.5, 1e4 / 0.8), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "uneven.tif", image, **uneven)
    for name, words in (
        ("none", "does not say its µm/px"),
        ("dpi", "says 352.8 µm/px"),
        ("uneven", "expected square pixels"),
    ):
        said = pytest.raises(InputError, match=f"{words}.*--mpp")
        with Slide(tmp_path / f"{name}.tif") as slide, said:
            _ = slide.mpp
        with Slide(tmp_path / f"{name}.tif", mpp=0.5) as slide:
            assert (slide.mpp, slide.mpp_given) == (0.5, True)
    tifffile.imwrite(tmp_path / "says.tif", image, **per_cm(0.25))
    with Slide(tmp_path / "says.tif", mpp=0.5) as slide:
        assert slide.mpp == pytest.approx(0.25)
        assert not slide.mpp_given
    with pytest.raises(InputError, match="--mpp takes µm/px"):
        Slide(tmp_path / "none.tif", mpp=250.0)


def test_what_is_no_slide(tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("not a slide")
    deep = np.zeros((64, 64, 3), np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    write_pyramid(tmp_path / "whole.tif", picture(), 0.5)
    data = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "head.tif").write_bytes(data[:6])
    with pytest.raises(MissingInputError, match="no slide"):
        Slide(tmp_path / "none.svs")
    for name, words in (
        ("text.svs", "is no slide: expected SVS"),
        ("deep.tif", "uint16, expected RGB of uint8"),
        ("head.tif", "cannot be opened"),
    ):
        with pytest.raises(InputError, match=words):
            Slide(tmp_path / name)


@pytest.mark.parametrize(
    ("photometric", "channels", "how"),
    [
        ("separated", 4, {}),
        ("cielab", 3, {}),
        ("ycbcr", 3, {"compression": "zlib"}),
        ("ycbcr", 3, {"compression": "jpeg2000"}),
        ("ycbcr", 3, {"compression": "jpeg", "planarconfig": "separate"}),
    ],
)
def test_other_colours_are_not_taken_for_rgb(
    tmp_path: Path, photometric: str, channels: int, how: dict[str, Any]
) -> None:
    path = tmp_path / "a.tif"
    image = np.repeat(picture(64, 64)[..., :1], channels, 2)
    written = np.moveaxis(image, 2, 0) if "planarconfig" in how else image
    tifffile.imwrite(path, written, photometric=photometric, **per_cm(0.5), **how)
    with pytest.raises(
        InputError, match=f"of the kind {photometric.upper()}, expected RGB of uint8"
    ):
        Slide(path)


def test_white_may_be_zero_and_a_missing_tile_is_glass(tmp_path: Path) -> None:
    path, gray = tmp_path / "a.ome.tif", picture(256, 256)[..., 0]
    tiles = (255 - gray[y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128))
    kept = (None if number == 3 else tile for number, tile in enumerate(tiles))
    about = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            kept, shape=(256, 256), dtype=np.uint8, tile=(128, 128), photometric="miniswhite",
            compression="zlib", metadata=about,
        )  # fmt: skip
    with Slide(path) as slide:
        assert slide.vendor == "ome-tiff"
        got = slide.read(0, 0, 256, 256, 0.5)
    expected = gray.copy()
    expected[128:, 128:] = 255
    np.testing.assert_array_equal(got, np.repeat(expected[..., None], 3, 2))
