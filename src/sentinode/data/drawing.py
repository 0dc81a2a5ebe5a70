"""Which patches of a fold stay where fewer are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.types import Fold

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import SplitConfig

__all__ = ["drawn"]


def drawn(frame: pd.DataFrame, config: SplitConfig) -> NDArray[np.bool_]:
    """Tell which rows stay: in train, and in valid where it is drawn too, as many as asked for.

    Args:
        frame: Patches of all folds: label, fold.
        config: How many, of which folds, and the seed.
    """
    keep = np.ones(len(frame), bool)
    limit, balance = config.limit, config.balance
    counts = frame["label"][frame["fold"] == "train"].value_counts()
    if config.draw == "both" and balance is not None:
        balance = min(balance, int(counts.min()))
    training = _drawn_of(frame, "train", limit, balance, (config.seed_of_draw, 1))
    keep[frame["fold"] == "train"] = False
    keep[training] = True
    if config.draw == "both" and (limit is not None or balance is not None):
        share = config.valid_fraction / (1 - config.valid_fraction)
        limit = max(2, round(share * len(training)))
        if balance is not None:
            scarcer = int(frame["label"][frame["fold"] == "valid"].value_counts().min())
            balance = max(1, min(scarcer, round(share * len(training) / 2)))
        # The same patches for every later draw of those that train.
        choosing = _drawn_of(frame, "valid", limit, balance, (config.seed, 2))
        keep[frame["fold"] == "valid"] = False
        keep[choosing] = True
    return keep


def _drawn_of(
    frame: pd.DataFrame,
    fold: Fold,
    limit: int | None,
    balance: int | None,
    seed: tuple[int, int],
) -> NDArray[np.int64]:
    """Draw rows of a fold: at most ``balance`` of each class, ``limit`` in all."""
    rows = np.flatnonzero((frame["fold"] == fold).to_numpy(bool))
    shuffled = np.random.default_rng(seed).permutation(rows)
    label = frame["label"].to_numpy(int)
    by_class = [shuffled[label[shuffled] == value] for value in (0, 1)]
    if balance is not None:
        by_class = [each[:balance] for each in by_class]
    total = sum(map(len, by_class))
    if limit is not None and limit < total:
        negatives = round(limit * len(by_class[0]) / total)
        if limit > 1:  # of a rare class one stays
            fewest = [min(1, len(each)) for each in by_class]
            negatives = min(max(negatives, fewest[0]), limit - fewest[1])
        by_class = [by_class[0][:negatives], by_class[1][: limit - negatives]]
    return np.concatenate(by_class)
