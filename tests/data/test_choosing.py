"""How many patches each slide gives, by hand and by what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode.config import ExtractConfig
from sentinode.data.choosing import draw_order, hardest, quotas

counts = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("tumour", "normal", "options", "expected"),
    [
        ([50, 0], [400, 400], {}, [[50, 25], [0, 25]]),
        ([50, 0], [10, 400], {}, [[50, 10], [0, 40]]),
        ([51, 0], [400, 400], {}, [[51, 26], [0, 25]]),
        ([5000, 0], [9000, 9000], {"per_slide": 100}, [[100, 50], [0, 50]]),
        ([500, 30], [20, 40], {}, [[30, 20], [30, 40]]),
        ([30, 0], [400, 400], {"tumour_share": 0.25}, [[30, 45], [0, 45]]),
        ([30, 0], [400, 400], {"tumour_share": None}, [[30, 400], [0, 400]]),
        ([0, 0], [400, 9], {"per_slide": 100}, [[0, 100], [0, 9]]),
        ([40], [0], {}, [[40, 0]]),
    ],
)
def test_by_hand(tumour: list, normal: list, options: dict, expected: list) -> None:
    assert quotas(tumour, normal, ExtractConfig(**options)) == expected


@settings(deadline=None)
@given(counts, st.sampled_from([None, 0.2, 0.5, 0.8]), st.sampled_from([None, 100]))
def test_what_must_hold(counts: list, share: float | None, limit: int | None) -> None:
    tumour, normal = [c[0] for c in counts], [c[1] for c in counts]
    found = quotas(tumour, normal, ExtractConfig(tumour_share=share, per_slide=limit))
    for (a, b), most_a, most_b in zip(found, tumour, normal, strict=True):
        assert 0 <= a <= min(most_a, limit or most_a)
        assert 0 <= b <= min(most_b, limit or most_b)
    total = np.sum(found, axis=0)
    if share is not None and sum(tumour) and sum(normal) and total.sum() > 20:
        assert abs(total[0] - share * total.sum()) <= 2


def test_an_order_is_the_slides_own() -> None:
    first = draw_order("a", 50, 1)
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(first, draw_order("a", 50, 1))
    assert (first != draw_order("b", 50, 1)).any()
    assert (first != draw_order("a", 50, 2)).any()


def test_hardest() -> None:
    order = np.array([7, 3, 5, 1, 0, 2, 4, 6])
    pool = np.array([0.9, 0.2, 0.95, np.nan, 0.7])  # of the places 7, 3, 5, 1, 0
    config = ExtractConfig(hard_share=0.5, hard_above=0.6)
    chosen, hard = hardest(order, pool, 4, config)
    assert (chosen.tolist(), hard) == ([5, 7, 3, 1], 2)
    chosen, hard = hardest(order, pool, 8, config)
    assert (chosen.tolist(), hard) == ([5, 7, 0, 3, 1, 2, 4, 6], 3)
    chosen, hard = hardest(order, np.empty(0), 3, config)
    assert (chosen.tolist(), hard) == ([7, 3, 5], 0)
