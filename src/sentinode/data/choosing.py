"""Which of all places become patches: as many as asked from each slide, in balance."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import ExtractConfig

__all__ = ["draw_order", "hardest", "quotas"]

Counts = NDArray[np.int64]


def quotas(tumour: Sequence[int], normal: Sequence[int], config: ExtractConfig) -> list[list[int]]:
    """Share patches out over slides.

    Each slide gives at most ``per_slide`` of each class. Where tumour is to have a share of all,
    the class that there is too much of is lowered evenly, the slides with most giving way first.

    Args:
        tumour: Places with tumour on each slide.
        normal: Places without.
        config: The share and the limit.

    Returns:
        Of each slide, how many patches with tumour and how many without.
    """
    limit = config.per_slide or max([*tumour, *normal, 0])
    most = [np.minimum(np.array(counts, np.int64), limit) for counts in (tumour, normal)]
    share = config.tumour_share
    if share is not None and most[0].sum() and most[1].sum():
        most[1] = _level(most[1], round(int(most[0].sum()) * (1 - share) / share))
        most[0] = _level(most[0], round(int(most[1].sum()) * share / (1 - share)))
    return [[int(a), int(b)] for a, b in zip(*most, strict=True)]


def _level(most: Counts, total: int) -> Counts:
    """Lower the highest counts to a common level so that their sum is at most ``total``."""
    if most.sum() <= total:
        return most
    low, high = 0, int(most.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(most, middle).sum() <= total else (low, middle - 1)
    level = np.minimum(most, low)
    spare = total - int(level.sum())
    level[np.flatnonzero(most > low)[:spare]] += 1
    return level


def draw_order(name: str, count: int, seed: int) -> NDArray[np.int64]:
    """Return a random order of ``count`` places of a slide, whatever other slides there are."""
    return np.random.default_rng((seed, zlib.crc32(name.encode()))).permutation(count)


def hardest(
    order: NDArray[np.int64], pool: NDArray[np.float64], count: int, config: ExtractConfig
) -> tuple[NDArray[np.int64], int]:
    """Choose normal places: the most confidently wrong ones up to a share, the rest by chance.

    Args:
        order: (N,), all normal places in random order.
        pool: (M,), probability of tumour of the first M of them; NaN where it could not be had.
        count: How many to choose.
        config: The share and what counts as wrong.

    Returns:
        The chosen, the wrong ones first by falling probability; and how many these are.
    """
    wrong = np.flatnonzero(np.nan_to_num(pool, nan=-1.0) >= config.hard_above)
    wrong = wrong[np.argsort(-pool[wrong], kind="stable")][: round(count * config.hard_share)]
    rest = np.delete(order, wrong)[: count - len(wrong)]
    return np.concatenate([order[wrong], rest]), len(wrong)
