"""The figures that two public notebooks give for their networks, beside which ours are set."""

from __future__ import annotations

import csv
import math
from functools import cache
from importlib.resources import files

__all__ = ["published_experiments", "published_of"]

Figures = dict[str, float]


@cache
def published_experiments() -> dict[str, Figures]:
    """Return figure -> value by the name of the experiment's configuration.

    Figures: accuracy, train_accuracy and auc (of random validation patches), public and private
    (Kaggle's leaderboards), epoch_s and ms_per_step; ``published.csv`` says what each is.
    """
    found: dict[str, Figures] = {}
    for row in _rows():
        found.setdefault(row["experiment"], {})[row["figure"]] = float(row["value"])
    return found


def published_of(network: str, learning_rate: float | None, patches: int | None) -> Figures:
    """Return what was published of a network at a learning rate, nothing where there is nothing.

    Where it was published at two sizes of the training set, the nearer one in proportion counts.

    Args:
        network: Name of the spec.
        learning_rate: Of the training.
        patches: Number of patches that taught it.
    """
    if learning_rate is None:
        return {}
    rows = [
        row
        for row in _rows()
        if row["network"] == network and math.isclose(float(row["learning_rate"]), learning_rate)
    ]
    if not rows:
        return {}
    wanted = math.log(max(1, patches or 1))
    nearest = min(rows, key=lambda row: abs(math.log(float(row["patches"])) - wanted))
    return published_experiments()[nearest["experiment"]]


@cache
def _rows() -> tuple[dict[str, str], ...]:
    text = (files("sentinode.compare") / "published.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
