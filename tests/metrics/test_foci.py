"""Foci: by hand, and by CAMELYON16's rules."""

import numpy as np
import pytest

from sentinode.errors import InputError
from sentinode.metrics import (
    FROC_AT,
    Detections,
    focus_class,
    focus_diameters,
    froc,
    join_foci,
    match_detections,
)

MM = 0.02  # 20 µm/px


def mask_of(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((120, 140), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_foci_less_than_75_um_apart_are_one() -> None:
    near = mask_of((10, 10, 20, 20), (10, 23, 20, 30))  # 3 px of 20 µm between
    far = mask_of((10, 10, 20, 20), (10, 25, 20, 30))  # 5 px
    assert join_foci(near, MM)[1] == 1
    labels, count = join_foci(far, MM)
    assert count == 2
    assert ((labels > 0) == far).all()
    assert join_foci(mask_of(), MM)[1] == 0


@pytest.mark.parametrize(
    ("mm", "away", "count"),
    [
        (0.031, (0, 3), 1),  # 62 µm between the px
        (0.0374, (0, 3), 1),
        (0.038, (0, 3), 2),
        (0.04, (0, 3), 2),
        (0.0745, (0, 3), 2),
        (0.0745, (0, 2), 1),
        (0.0755, (0, 2), 2),
        (0.06, (1, 2), 1),
        (0.0745, (2, 2), 2),
        (0.05, (2, 2), 2),
        (0.5, (1, 1), 1),  # px that touch are one focus on any map
    ],
)
def test_foci_of_a_coarse_map(mm: float, away: tuple[int, int], count: int) -> None:
    mask = mask_of()
    mask[15, 5] = mask[15 + away[0], 5 + away[1]] = True
    labels, found = join_foci(mask, mm)
    assert found == count
    assert ((labels > 0) == mask).all()
    assert set(labels[mask]) == set(range(1, count + 1))


def test_a_ring_on_a_coarse_map_takes_in_what_it_surrounds() -> None:
    ring = mask_of((10, 10, 31, 31)) & ~mask_of((11, 11, 30, 30))
    ring[20, 20] = True
    assert join_foci(ring, 0.06)[1] == 1


def test_diameters_of_boxes_and_of_one_pixel() -> None:
    mask = mask_of((10, 10, 14, 13), (60, 60, 61, 61), (100, 0, 120, 140))
    labels, count = join_foci(mask, MM)
    expected = [np.hypot(3, 2) * MM, MM, np.hypot(19, 139) * MM]
    np.testing.assert_allclose(focus_diameters(labels, count, MM), expected)


@pytest.mark.parametrize(("touched", "bias"), [(False, 0.0), (True, 1.0)])
def test_diameter_of_a_disc_read_on_a_grid(touched: bool, bias: float) -> None:
    """Over many discs: px whose centre lies in the disc, or all that it touches."""
    rng, cell, errors = np.random.default_rng(1), 0.031, []
    for _ in range(60):
        radius, centre = rng.uniform(0.1, 0.9), rng.uniform(1.0, 1.1, 2)
        low = np.arange(70) * cell
        if touched:
            away = [np.maximum(0, np.maximum(low - c, c - low - cell)) for c in centre]
        else:
            away = [low + cell / 2 - c for c in centre]
        disc = np.hypot(away[0][:, None], away[1][None]) < radius
        labels, count = join_foci(disc, cell)
        errors.append(focus_diameters(labels, count, cell)[0] - 2 * radius)
    assert abs(np.mean(errors) - bias * cell) < cell / 2
    assert np.abs(errors).max() < 2 * cell


@pytest.mark.parametrize(
    ("mm", "name"),
    [
        (0.0, "none"),
        (0.2, "isolated tumour cells"),
        (0.21, "micrometastasis"),
        (2.0, "micrometastasis"),
        (2.01, "macrometastasis"),
    ],
)
def test_classes_by_size(mm: float, name: str) -> None:
    assert focus_class(mm) == name


def test_matching_spares_isolated_cells_and_counts_the_best_hit() -> None:
    mask = mask_of((10, 10, 40, 40), (80, 80, 83, 83))  # 0.6 mm, and 0.06 mm plus its rim
    places = np.array([[20, 20], [30, 30], [81, 81], [100, 20], [60, 120]])
    found = match_detections(mask, MM, places, np.array([0.4, 0.9, 0.8, 0.3, 0.7]))
    np.testing.assert_array_equal(found.hits, [0.9])
    np.testing.assert_array_equal(found.false, [0.3, 0.7])
    none = match_detections(mask, MM, np.empty((0, 2)), np.empty(0))
    np.testing.assert_array_equal(none.hits, [-1])


def by_the_script(slides: list[Detections]) -> tuple[list[float], float]:
    """Count again at every threshold, as CAMELYON16's evaluation does."""
    every = np.unique(np.concatenate([np.concatenate([s.hits, s.false]) for s in slides]))
    foci = sum(len(s.hits) for s in slides)
    rates, shares = [], []
    for level in every[1:]:  # the lowest is the -1 of a missed focus
        rates.append(sum((s.false >= level).sum() for s in slides) / len(slides))
        shares.append(sum((s.hits >= level).sum() for s in slides) / foci)
    rates.append(0)
    shares.append(0)
    at = [float(np.interp(v, rates[::-1], shares[::-1])) for v in FROC_AT]
    return at, float(np.mean(at))


def test_froc_equals_counting_at_every_threshold() -> None:
    rng = np.random.default_rng(4)
    slides = [
        Detections(
            np.where(rng.random(4) < 0.2, -1, rng.beta(4, 2, 4)), rng.beta(2, 3, rng.integers(0, 9))
        )
        for _ in range(12)
    ]
    slides[0].hits[0] = -1
    found = froc(slides)
    at, score = by_the_script(slides)
    np.testing.assert_allclose(found.at, at)
    assert found.score == pytest.approx(score)
    assert found.foci == 48


def test_froc_by_hand() -> None:
    slides = [
        Detections(np.array([0.9, -1.0]), np.array([0.95])),
        Detections(np.array([]), np.array([0.5])),
    ]
    # above 0.95: half a false one a slide and nothing found; at 0.9 the one focus of two
    found = froc(slides)
    assert found.at == (0.0, 0.5, 0.5, 0.5, 0.5, 0.5)
    with pytest.raises(InputError, match="at least one focus"):
        froc(slides[1:])
