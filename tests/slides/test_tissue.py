"""The tissue mask, against sections whose truth is known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinode.errors import InputError
from sentinode.phantom import make_section
from sentinode.slides import Slide, find_tissue, tissue_mask, write_pyramid
from sentinode.types import UInt8Array


def coarse(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).reduce(8)) > 127


@pytest.mark.parametrize(("pale", "missed"), [(1.0, 0.03), (0.15, 0.06)])
def test_keeps_tissue_however_pale_and_drops_glass_pen_and_bubble(
    tmp_path: Path, pale: float, missed: float
) -> None:
    section = make_section(5, 2400, share=0.3, pale=pale)
    write_pyramid(tmp_path / "a.tif", section.image, section.mpp)
    with Slide(tmp_path / "a.tif") as slide:
        found = find_tissue(slide)
    assert found.mpp == pytest.approx(8 * 0.97)
    tissue, pen, bubble = (coarse(m) for m in (section.tissue, section.pen, section.bubble))
    wanted, glass = tissue & ~pen, ~tissue & ~pen & ~bubble
    assert pen.sum() > 1000
    assert bubble.sum() > 1000
    assert (wanted & ~found.mask).sum() < missed * wanted.sum()
    assert (glass & found.mask).sum() < 0.04 * glass.sum()
    assert (pen & found.mask).sum() < 0.05 * pen.sum()
    assert (bubble & found.mask).sum() < 0.01 * bubble.sum()
    assert found.area_mm2 == pytest.approx(found.mask.sum() * (8 * 0.97e-3) ** 2)


def flat(colour: tuple[int, int, int], side: int = 100) -> UInt8Array:
    return np.broadcast_to(np.array(colour, np.uint8), (side, side, 3)).copy()


def test_glass_alone_has_no_tissue_and_tissue_alone_is_tissue() -> None:
    grain = np.random.default_rng(1).integers(-2, 3, (100, 100, 1))
    glass = (flat((243, 242, 244)) + grain).astype(np.uint8)
    assert not tissue_mask(glass, 8).any()
    assert tissue_mask(flat((170, 120, 180)), 8).all()


@pytest.mark.parametrize("pale", [1.0, 0.15])
def test_a_gray_slide_is_refused_and_glass_alone_is_not(tmp_path: Path, pale: float) -> None:
    section = make_section(5, 900, share=0.3, pale=pale, marks=False)
    gray = np.repeat(section.image[..., 1:2], 3, 2)
    write_pyramid(tmp_path / "gray.tif", gray, section.mpp)
    with Slide(tmp_path / "gray.tif") as slide, pytest.raises(InputError, match=r"is gray.*colour"):
        find_tissue(slide)
    write_pyramid(tmp_path / "glass.tif", flat((244, 244, 244), 900), section.mpp)
    with Slide(tmp_path / "glass.tif") as slide:
        assert not find_tissue(slide).mask.any()


@pytest.mark.parametrize(
    ("what", "colour", "kept"),
    [
        ("eosin", (235, 170, 200), True),
        ("haematoxylin", (110, 80, 150), True),
        ("pale node", (232, 224, 236), True),
        ("blue pen", (40, 70, 170), False),
        ("green pen", (40, 130, 70), False),
        ("red pen", (215, 30, 45), False),
        ("black pen", (35, 35, 38), False),
        ("gray dirt", (150, 148, 149), False),
    ],
)
def test_colours_that_slides_have(what: str, colour: tuple[int, int, int], kept: bool) -> None:
    picture = flat((243, 243, 243))
    picture[30:70, 30:70] = colour
    share = tissue_mask(picture, 8)[34:66, 34:66].mean()
    assert share == (1 if kept else 0), what


def test_specks_go_and_small_holes_are_filled() -> None:
    picture = flat((243, 243, 243), 200)
    picture[20:150, 20:150] = (170, 120, 180)
    picture[60:66, 60:66] = 243  # 48 µm: a vessel
    picture[90:140, 40:120] = 243  # 0.4 by 0.6 mm: a tear
    picture[180:183, 180:183] = (170, 120, 180)
    mask = tissue_mask(picture, 8)
    assert mask[55:70, 55:70].all()
    assert not mask[95:135, 45:115].any()
    assert not mask[175:].any()
