from pathlib import Path

import numpy as np
import pytest

from sentinode.errors import InputError
from sentinode.slides import Grid, Slide, write_pyramid


def grid(path: Path, height: int, width: int, mpp: float) -> Grid:
    write_pyramid(path, np.full((height, width, 3), 200, np.uint8), mpp)
    with Slide(path) as slide:
        return Grid.of(slide, 0.97, 96, 32)


def test_squares_cover_the_slide_with_the_patch_around_each(tmp_path: Path) -> None:
    at = grid(tmp_path / "a.tif", 100, 330, 0.485)
    assert (at.scale, at.mpp) == (pytest.approx(2), pytest.approx(0.97))
    assert (at.rows, at.columns) == (2, 6)  # 64 px of level 0 each
    assert at.corner(1, 3) == (192, 64)
    assert at.patch_corner(1, 3) == (192 - 64, 64 - 64)
    assert at.patch_corner(0, 0) == (-64, -64)
    assert at.extent(3) == 160
    assert at.cell_mm == pytest.approx(0.03104)


def test_a_level_near_the_networks_scale_is_taken_as_it_is(tmp_path: Path) -> None:
    near = grid(tmp_path / "near.tif", 600, 600, 0.243)
    assert near.mpp == pytest.approx(0.972)
    assert near.scale == pytest.approx(4)
    between = grid(tmp_path / "between.tif", 600, 600, 0.3)
    assert between.mpp == 0.97
    assert between.scale == pytest.approx(0.97 / 0.3)


def test_one_pixel_high(tmp_path: Path) -> None:
    thin = grid(tmp_path / "a.tif", 1, 500, 0.97)
    assert (thin.rows, thin.columns) == (1, 16)


def test_too_coarse_a_slide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 µm/px at its finest level, the network needs 0.97"):
        grid(tmp_path / "a.tif", 64, 64, 2.0)


def test_share_of_each_square_is_its_mean(tmp_path: Path) -> None:
    at = grid(tmp_path / "a.tif", 256, 320, 0.97)
    mask = np.random.default_rng(2).random((32, 40)) < 0.4
    expected = mask.reshape(8, 4, 10, 4).mean((1, 3))
    np.testing.assert_allclose(at.share(mask, 0.97 * 8), expected, atol=1e-6)
    fine = np.kron(mask, np.ones((3, 3), bool))
    np.testing.assert_allclose(at.share(fine, 0.97 * 8 / 3), expected, atol=1e-6)
