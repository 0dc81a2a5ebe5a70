"""Map scores against scikit-learn, SciPy and values worked out by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import auc, jaccard_score, roc_auc_score

from sentinode.errors import InputError
from sentinode.metrics import (
    area_matched_iou,
    border_frame,
    centre_square,
    curve_area,
    effective_area,
    heterogeneity,
    mean_interval,
    pixel_auc,
    pointing_game,
    positive_share,
    rank_correlation,
)

RNG = np.random.default_rng(3)
MAPS = RNG.normal(size=(5, 24, 24))
MASKS = RNG.random((5, 24, 24)) < 0.3


def test_areas_of_a_patch() -> None:
    assert centre_square(96).sum() == 32 * 32
    assert centre_square(96)[32:64, 32:64].all()
    assert border_frame(96, 8).sum() == 96 * 96 - 80 * 80
    with pytest.raises(InputError, match="24 px has no centre of 32 px"):
        centre_square(24)


def test_share_counts_what_is_positive_only() -> None:
    maps = np.array([[[3.0, -9.0], [1.0, 0.0]], [[-1.0, -1.0], [-1.0, 0.0]]])
    mask = np.array([[True, True], [False, False]])
    found = positive_share(maps, mask)
    assert found[0] == 0.75
    assert np.isnan(found[1])


def test_even_map_has_the_share_of_area() -> None:
    even = np.ones((1, 96, 96))
    assert positive_share(even, centre_square(96))[0] == pytest.approx(1 / 9)
    assert effective_area(even)[0] == pytest.approx(1)
    part = np.zeros((1, 96, 96))
    part[0, :12, :24] = 7.0
    assert effective_area(part)[0] == pytest.approx(12 * 24 / 96**2)
    assert np.isnan(effective_area(-part)[0])


def test_pixel_auc_is_scikit_learns() -> None:
    tied = np.round(MAPS)
    for maps in (MAPS, tied):
        expected = [roc_auc_score(t.ravel(), m.ravel()) for m, t in zip(maps, MASKS, strict=True)]
        np.testing.assert_allclose(pixel_auc(maps, MASKS), expected, rtol=1e-12)
    assert np.isnan(pixel_auc(MAPS, np.zeros_like(MASKS))).all()


def test_iou_is_scikit_learns_at_the_area_of_the_mask() -> None:
    found = area_matched_iou(MAPS, MASKS)
    for values, truth, iou in zip(MAPS, MASKS, found, strict=True):
        limit = np.sort(values.ravel())[-truth.sum()]
        assert iou == pytest.approx(jaccard_score(truth.ravel(), (values >= limit).ravel()))
    share = MASKS[0].mean()
    flat = area_matched_iou(np.zeros((1, 24, 24)), MASKS[:1])
    assert flat[0] == pytest.approx(share / (2 - share))


def test_pointing_game_shares_ties() -> None:
    maps = np.zeros((3, 4, 4))
    masks = np.zeros((3, 4, 4), bool)
    masks[:, 0] = True
    maps[0, 0, 1] = 2.0
    maps[1, 0, 1] = maps[1, 3, 3] = 2.0
    np.testing.assert_equal(pointing_game(maps, masks), [1.0, 0.5, np.nan])


def test_rank_correlation_is_scipys() -> None:
    other = MAPS + RNG.normal(size=MAPS.shape)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(MAPS, other, strict=True)]
    np.testing.assert_allclose(rank_correlation(MAPS, other), expected)
    assert np.isnan(rank_correlation(MAPS[:1], np.ones((1, 24, 24)))[0])


def test_curve_area_is_scikit_learns() -> None:
    curves = RNG.random((3, 9))
    expected = [auc(np.linspace(0, 1, 9), curve) for curve in curves]
    np.testing.assert_allclose(curve_area(curves), expected)


def test_heterogeneity_by_hand() -> None:
    halves = np.full((2, 96, 96, 3), 255, np.uint8)
    halves[1, :, :48] = 0
    found = heterogeneity(halves)
    assert found[0] == 0
    # half of the squares at -3 ln(1 / 255), half at 0: the deviation is half the difference
    assert found[1] == pytest.approx(3 * np.log(255) / 2)


def test_interval_of_a_mean_over_units() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0, np.nan])
    found = mean_interval(values, np.array([0, 0, 1, 1, 2]))
    assert found is not None
    mean, interval = found
    assert mean == 0.5
    assert (interval.low, interval.high) == (0.0, 1.0)  # two units: both ends are drawn often
    assert mean_interval(np.full(3, np.nan), np.arange(3)) is None
    one = mean_interval(values, np.array([0, 0, 0, 0, 1]))  # the other is nowhere defined
    assert one is not None
    assert one[0] == 0.5
    assert np.isnan([one[1].low, one[1].high]).all()
    many = RNG.normal(size=2000)
    found = mean_interval(many, np.arange(2000))
    assert found is not None
    half = 1.96 * many.std() / np.sqrt(2000)  # of the normal approximation
    assert found[1].low == pytest.approx(many.mean() - half, abs=0.1 * half)
    assert found[1].high == pytest.approx(many.mean() + half, abs=0.1 * half)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="a mask for each map"):
        pixel_auc(MAPS, MASKS[:, :12])
