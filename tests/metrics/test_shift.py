"""Two samples judged by exchanging their units."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from sentinode.metrics import shift_p_value


def test_units_of_one_value_are_judged_as_the_kolmogorov_smirnov_test_does() -> None:
    rng = np.random.default_rng(0)
    for moved in (0.0, 0.3, 0.5):
        here, there = rng.normal(moved, 1, 80), rng.normal(0, 1, 70)
        found = shift_p_value(here, there, np.arange(80), np.arange(70), seed=1, permutations=4000)
        assert found == pytest.approx(ks_2samp(here, there).pvalue, abs=0.03)


def test_patches_of_unlike_slides_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(0)
    units, low = np.repeat(np.arange(15), 100), []
    for seed in range(60):
        here, there = (rng.normal(0, 1, 15)[units] + rng.normal(0, 1, 1500) for _ in range(2))
        low.append(shift_p_value(here, there, units, units, seed=seed, permutations=199) <= 0.05)
    assert np.mean(low) < 0.15
    assert shift_p_value(here + 3, there, units, units, seed=0) == 0.001


def test_more_units_than_are_exchanged_are_taken_in_lots() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((2, 3000))
    units = np.arange(3000)
    assert shift_p_value(*values, units, units, seed=0, permutations=99) > 0.02
    assert shift_p_value(values[0] + 0.1, values[1], units, units, seed=0, permutations=99) == 0.01
