"""Calibration against its definitions and independent fits."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from sentinode.metrics import expected_calibration_error, recalibration, reliability


def drawn(n=4000, slope=0.6, intercept=-0.3, seed=0):
    """Labels whose true log odds are intercept + slope * logit(p)."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(0, 1.5, n)).astype(np.float32)
    y = rng.random(n) < expit(intercept + slope * logit(p.astype(float)))
    return y, p


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_reliability_agrees_with_scikit_learn(binning, strategy):
    y, p = drawn(4002)  # so that no edge of equal mass falls on a patch
    share, mean = calibration_curve(y, p.astype(float), n_bins=15, strategy=strategy)
    bins = reliability(y, p, binning)
    np.testing.assert_allclose(bins.share, share, atol=1e-12)
    np.testing.assert_allclose(bins.mean_probability, mean, atol=1e-12)
    assert bins.count.sum() == len(y)
    assert bins.tumour.sum() == y.sum()


def test_calibration_error_by_its_definition():
    y, p = drawn(500)
    error = 0.0
    for k in range(15):
        inside = (p > k / 15) & (p <= (k + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(y[inside].mean() - p[inside].astype(float).mean())
    assert expected_calibration_error(reliability(y, p)) == pytest.approx(error, abs=1e-12)


def test_bins_of_equal_mass_are_of_equal_mass():
    y, p = drawn(3000)
    assert set(reliability(y, p, "mass", bins=10).count) == {300}


def test_equal_probabilities_make_one_bin():
    bins = reliability([0, 1, 1, 1], [0.4] * 4, "mass")
    assert bins.count.tolist() == [4]
    assert bins.share.tolist() == [0.75]


def test_recalibration_agrees_with_an_independent_fit():
    y, p = drawn()
    x = logit(p.astype(float))

    def loss(beta):
        z = beta[0] + beta[1] * x
        return np.logaddexp(0, z).sum() - z[y].sum()

    expected = minimize(loss, [0.0, 1.0], method="BFGS")
    found = recalibration(y, p, np.arange(len(y)))
    assert found is not None
    assert found.intercept.value == pytest.approx(expected.x[0], abs=1e-4)
    assert found.slope.value == pytest.approx(expected.x[1], abs=1e-4)
    shift = minimize(lambda a: loss([a[0], 1.0]), [0.0], method="BFGS")
    assert found.in_the_large.value == pytest.approx(shift.x[0], abs=1e-4)
    design = np.stack([np.ones_like(x), x], axis=1)
    q = expit(design @ expected.x)
    fisher = np.sqrt(np.diag(np.linalg.inv((design.T * q * (1 - q)) @ design)))
    assert found.intercept.error == pytest.approx(fisher[0], rel=0.1)
    assert found.slope.error == pytest.approx(fisher[1], rel=0.1)


def test_recalibration_errors_grow_where_patches_repeat_within_slides():
    y, p = drawn(1000)
    ten_times = np.tile(np.arange(1000), 10)
    alone = recalibration(y, p, np.arange(1000))
    repeated = recalibration(np.tile(y, 10), np.tile(p, 10), ten_times)
    assert alone is not None
    assert repeated is not None
    assert repeated.slope.error == pytest.approx(alone.slope.error, rel=1e-3)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([0, 0, 0], [0.1, 0.2, 0.3]),
        ([0, 1, 0, 1], [0.5] * 4),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_recalibration_without_a_finite_fit_is_none(labels, probabilities):
    assert recalibration(labels, probabilities, np.arange(len(labels))) is None


def test_recalibration_of_one_slide_has_no_error():
    y, p = drawn(200)
    found = recalibration(y, p, np.zeros(200, np.int64))
    assert found is not None
    assert np.isnan(found.slope.error)


def test_recalibration_bears_certain_probabilities():
    found = recalibration([1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 1, 0], np.arange(6))
    assert found is not None
    assert 0 < found.slope.value < 0.2
