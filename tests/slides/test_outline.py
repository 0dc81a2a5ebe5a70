"""A mask, its outlines in every format, and the same mask again to the pixel."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from sentinode.errors import InputError
from sentinode.phantom import make_slide
from sentinode.slides import (
    Box,
    Reading,
    Slide,
    open_truth,
    outline,
    write_asap,
    write_geojson,
    write_ncrf,
)
from sentinode.slides.mask_file import MaskImage, downsample_of

WRITERS = {"a.xml": write_asap, "a.json": write_ncrf, "a.geojson": write_geojson}


def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(rng.normal(size=(90, 120)), 2.5)
    rings = np.hypot(*np.mgrid[-40:40, -40:40] + 0.5).astype(int)
    single = np.zeros((9, 11), bool)
    single[4, 5] = single[0, 0] = single[8, 10] = True
    return {
        "noise": noise > 0.02,
        "speckle": rng.random((60, 60)) > 0.5,  # diagonal neighbours, holes in islands in holes
        "rings": rings % 8 < 4,
        "all": np.ones((20, 30), bool),
        "none": np.zeros((20, 30), bool),
        "pixels": single,
        "phantom": make_slide(3, 0, 256).mask,
    }


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("name", masks())
def test_to_the_pixel(tmp_path: Path, file: str, name: str) -> None:
    mask = masks()[name]
    height, width = mask.shape
    WRITERS[file](tmp_path / file, outline(mask))
    truth = open_truth(tmp_path / file, (width, height), Reading())
    np.testing.assert_array_equal(truth.tumour(Box(0, 0, width, height)), mask)
    if mask.any():
        shifted = open_truth(tmp_path / file, (width, height), Reading())
        np.testing.assert_array_equal(shifted.tumour(Box(3, 2, 5, 6)), mask[2:8, 3:8])


def ring_area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.8])
def test_along_the_sides_an_area_has_its_pixels_size(density: float) -> None:
    rng = np.random.default_rng(round(10 * density))
    for _ in range(20):
        mask = rng.random((12, 14)) < density
        labels, count = ndimage.label(mask)  # by their sides
        for number in range(1, count + 1):
            inside = labels == number
            (area,) = outline(inside, x=5, y=7, square=True)
            assert ring_area(area.outer) - sum(map(ring_area, area.holes)) == inside.sum()
            for ring in (area.outer, *area.holes):
                assert (ring == np.floor(ring)).all()
                assert len(np.unique(ring, axis=0)) == len(ring)  # it does not touch itself
                assert ((ring == np.roll(ring, 1, 0)).sum(1) == 1).all()


def test_one_pixel_along_its_sides() -> None:
    (area,) = outline(np.ones((1, 1), bool), square=True)
    assert sorted(area.outer.tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_outline_of_a_part_lies_where_the_part_lies() -> None:
    (area,) = outline(np.ones((4, 6), bool), x=100, y=50)
    assert area.outer.min(0).tolist() == [100, 50]
    assert area.outer.max(0).tolist() == [106, 54]
    assert not area.holes


def write_mask(path: Path, mask: np.ndarray, **how: object) -> Path:
    if path.suffix == ".png":
        Image.fromarray(mask).save(path)
    else:
        tifffile.imwrite(path, mask, **how)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("m.png", {}),
        ("m.tif", {}),
        ("m.tif", {"tile": (16, 32), "compression": "zlib"}),
        ("m.tif", {"tile": (16, 16), "compression": "lzw"}),
        ("m.tif", {"rowsperstrip": 7, "compression": "packbits"}),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, bool, np.uint16])
def test_mask_images_at_level_0(tmp_path: Path, name: str, how: dict, kind: type) -> None:
    mask = masks()["noise"]
    pixels = mask if kind is bool else mask * kind(200)
    with MaskImage(write_mask(tmp_path / name, pixels, **how), (120, 90)) as truth:
        np.testing.assert_array_equal(truth.tumour(Box(0, 0, 120, 90)), mask)
        np.testing.assert_array_equal(truth.tumour(Box(17, 33, 40, 21)), mask[33:54, 17:57])
        beyond = truth.tumour(Box(-5, -5, 20, 20))
    np.testing.assert_array_equal(beyond[5:, 5:], mask[:15, :15])
    assert not beyond[:5].any()


@pytest.mark.parametrize(("slide", "scale"), [((960, 720), 8), ((964, 723), 8), ((300, 225), 2.5)])
def test_coarser_masks_whole_and_fractional(
    tmp_path: Path, slide: tuple[int, int], scale: float
) -> None:
    mask = masks()["noise"]
    truth = MaskImage(write_mask(tmp_path / "m.png", mask.astype(np.uint8)), slide)
    found = truth.tumour(Box(0, 0, *slide))
    ys, xs = (np.floor((np.arange(n) + 0.5) / scale).astype(int) for n in slide[::-1])
    inside = np.ix_(ys < 90, xs < 120)
    np.testing.assert_array_equal(found[inside], mask[np.ix_(ys[ys < 90], xs[xs < 120])])


def test_downsample() -> None:
    assert downsample_of((12, 9), (1000, 750), Path("m")) == (1000 / 12, 750 / 9)
    assert downsample_of((391, 293), (100_000, 75_001), Path("m")) == (256, 256)  # rounded up, down
    assert downsample_of((390, 292), (100_000, 75_001), Path("m")) == (256, 256)
    with pytest.raises(InputError, match=r"differ by 8\.333 and 10\.417.*of another slide"):
        downsample_of((120, 72), (1000, 750), Path("m"))


def test_values_of_a_mask(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10), np.uint8)
    pixels[2:5, 2:5], pixels[6:9, 6:9] = 1, 2
    path = write_mask(tmp_path / "m.png", pixels)
    with pytest.raises(InputError, match=r"several values besides 0 \(1, 2\)"):
        MaskImage(path, (10, 10)).tumour(Box(0, 0, 10, 10))
    found = open_truth(path, (10, 10), Reading(mask_values=(2,))).tumour(Box(0, 0, 10, 10))
    np.testing.assert_array_equal(found, pixels == 2)
    truth = open_truth(path, (10, 10), Reading(mask_values=(255, 254)))
    assert truth.notices == ()
    assert not truth.tumour(Box(0, 0, 10, 10)).any()
    assert truth.notices == (
        "holds where it was read none of the values that mean tumour, but 1, 2: counts as normal",
    )
    truth = open_truth(path, (10, 10), Reading(mask_values=(2, 255)))
    truth.tumour(Box(0, 0, 5, 5))
    truth.tumour(Box(0, 0, 10, 10))
    assert truth.notices == ()
    gray = write_mask(tmp_path / "g.png", np.repeat(pixels[..., None] // 2 * 255, 3, 2))
    np.testing.assert_array_equal(MaskImage(gray, (10, 10)).tumour(Box(0, 0, 10, 10)), pixels == 2)


def test_bad_masks(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "text.tif").write_text("no image")
    write_mask(tmp_path / "float.tif", np.zeros((10, 10), np.float32))
    colours = np.zeros((10, 10, 3), np.uint8)
    colours[..., 0] = 255
    write_mask(tmp_path / "colour.png", colours)
    for name, words in {
        "text.png": "cannot be read as a mask",
        "text.tif": "cannot be read as a mask",
        "float.tif": "expected whole numbers",
        "colour.png": "has colours",
    }.items():
        with pytest.raises(InputError, match=words):
            MaskImage(tmp_path / name, (10, 10))
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    whole = write_mask(tmp_path / "w.tif", noise, tile=(16, 16), compression="zlib")
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:-300])
    with (
        MaskImage(tmp_path / "cut.tif", (64, 64)) as truth,
        pytest.raises(InputError, match="damaged or cut short"),
    ):
        truth.tumour(Box(0, 0, 64, 64))


def test_zero_of_a_mask_may_be_unknown(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10), np.uint8)
    pixels[2:5, 2:5], pixels[6:9, 6:9] = 1, 2
    path = write_mask(tmp_path / "m.png", pixels)
    window = Box(-2, 0, 14, 10)
    assert open_truth(path, (10, 10), Reading(mask_values=(2,))).unknown(window) is None
    truth = open_truth(path, (10, 10), Reading(mask_values=(2,), only_annotated=True))
    unknown = truth.unknown(window)
    assert unknown is not None
    np.testing.assert_array_equal(unknown, np.pad(pixels, ((0, 0), (2, 2))) == 0)
    assert truth.tumour(window).sum() == 9


def test_far_outlines_keep_their_half_pixels(tmp_path: Path) -> None:
    mask = masks()["speckle"]
    write_asap(tmp_path / "far.xml", outline(mask, x=123_456, y=1_234_567))
    truth = open_truth(tmp_path / "far.xml", (2_000_000, 2_000_000), Reading())
    np.testing.assert_array_equal(truth.tumour(Box(123_456, 1_234_567, 60, 60)), mask)


def test_an_image_of_a_hundred_megapixels_and_one_beyond(tmp_path: Path) -> None:
    for name, height in (("most.png", 10_000), ("more.png", 10_001), ("bomb.png", 30_000)):
        Image.new("1", (10_000, height)).save(tmp_path / name)
    size = (10_000, 10_000)
    assert not MaskImage(tmp_path / "most.png", size).tumour(Box(9_990, 9_990, 10, 10)).any()
    with Slide(tmp_path / "most.png", mpp=0.5) as slide:
        assert slide.dimensions == size
    for name in ("more.png", "bomb.png"):
        words = f"{name} has more than 100 megapixels.* save it as a tiled TIFF"
        with pytest.raises(InputError, match=words):
            MaskImage(tmp_path / name, size)
        with pytest.raises(InputError, match=words):
            Slide(tmp_path / name)
