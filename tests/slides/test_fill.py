"""Filling against matplotlib's test of points and against Pillow's and hand-made truths."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from sentinode.slides.fill import Box, bounds_of, fill, winding


def centres(window: Box) -> np.ndarray:
    ys, xs = np.mgrid[: window.height, : window.width]
    return np.stack([xs.ravel() + window.x + 0.5, ys.ravel() + window.y + 0.5], 1)


def star(rng: np.random.Generator, corners: int, centre: tuple[float, float]) -> np.ndarray:
    """A plain polygon: corners at rising angles about a centre."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(3, 25, corners)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + centre


@pytest.mark.parametrize("seed", range(20))
def test_as_matplotlib_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ring, window = star(rng, int(rng.integers(3, 40)), (30.3, 22.7)), Box(3, -4, 61, 55)
    expected = Outline(ring).contains_points(centres(window)).reshape(window[3], window[2])
    for points in (ring, ring[::-1], np.concatenate([ring, ring[:1]])):
        np.testing.assert_array_equal(fill([points], window), expected)
    assert expected.any()


def test_any_window_is_a_crop_of_the_whole() -> None:
    ring = star(np.random.default_rng(5), 60, (40, 40))
    whole = fill([ring], Box(0, 0, 80, 80))
    for x, y, width, height in (
        (0, 0, 7, 80),
        (31, 40, 20, 3),
        (-10, -10, 30, 30),
        (70, 70, 9, 40),
    ):
        part = fill([ring], Box(x, y, width, height))
        padded = np.pad(whole, 40)[y + 40 : y + 40 + height, x + 40 : x + 40 + width]
        np.testing.assert_array_equal(part, padded)


def test_whole_pixels_and_neighbours_share_no_pixel() -> None:
    square = np.array([[2, 3], [5, 3], [5, 7], [2, 7]], float)
    inside = fill([square], Box(0, 0, 10, 10))
    assert inside[3:7, 2:5].all()
    assert inside.sum() == 12
    halves = [np.array(t, float) for t in ([[0, 0], [9, 0], [9, 9]], [[0, 0], [9, 9], [0, 9]])]
    counts = sum(fill([t], Box(0, 0, 9, 9)).astype(int) for t in halves)
    assert (counts == 1).all(), "a pixel on the common edge in both or in neither"


def test_a_line_of_one_pixel_and_what_falls_between_centres() -> None:
    thin = np.array([[0, 4], [100, 4], [100, 5], [0, 5]], float)
    assert fill([thin], Box(0, 0, 100, 10)).sum() == 100
    slanted = np.array([[0.2, 0], [1.2, 0], [31.2, 30], [30.2, 30]], float)
    assert (fill([slanted], Box(0, 0, 40, 30)).sum(1) == 1).all()


def test_holes_figure_eight_loop_and_slit() -> None:
    window = Box(0, 0, 12, 12)
    outer = np.array([[1, 1], [11, 1], [11, 11], [1, 11]], float)
    inner = np.array([[4, 4], [8, 4], [8, 8], [4, 8]], float)
    for hole in (inner, inner[::-1]):
        assert fill([outer, hole], window).sum() == 100 - 16
    eight = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], float)
    assert fill([eight], window)[5, [1, 8]].all()
    assert {-1, 1} <= set(np.unique(winding(eight, window)).tolist())
    twice = np.concatenate([outer, outer])
    assert fill([twice], window).sum() == 100, "what is gone round twice is inside"
    slit = np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])
    assert fill([slit], window).sum() == 84, "a hole reached by a slit of no width"


def test_bounds_hold_all_pixels() -> None:
    ring = star(np.random.default_rng(1), 30, (50.5, 40.25))
    box, window = bounds_of([ring]), Box(0, 0, 100, 100)
    ys, xs = np.nonzero(fill([ring], window))
    assert box.x <= xs.min()
    assert xs.max() < box.x + box.width
    assert box.y <= ys.min()
    assert ys.max() < box.y + box.height
    assert box.meets(Box(50, 40, 1, 1))
    assert not box.meets(Box(200, 40, 5, 5))
