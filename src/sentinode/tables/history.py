"""The history of a training: one row per epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sentinode.core import atomic_path
from sentinode.errors import InputError, MissingInputError
from sentinode.tables.frames import UNREADABLE

__all__ = ["HISTORY_COLUMNS", "HistoryFacts", "history_facts", "read_history", "write_history"]

SPIKE = 1.25

HISTORY_COLUMNS = (
    "epoch",  # from 1
    "learning_rate",  # at the epoch's last step
    "loss",  # training: mean over the epoch's steps, dropout on
    "accuracy",  # training, at 0.5
    "auc",
    "valid_loss",
    "valid_accuracy",  # at 0.5
    "valid_auc",
)


@final
@dataclass(frozen=True)
class HistoryFacts:
    """What a reader looks for in the curves of a training, counted.

    Attributes:
        epochs: Number of epochs.
        kept: Epoch whose weights were kept, from 1; None where it is not known.
        spikes: Epochs whose validation loss is at least a quarter above the epoch before's.
        gap: Validation loss less training loss, in nats, at the kept epoch (else the last one);
            training loss is that of patches as they were shown, changed and with dropout.
    """

    epochs: int
    kept: int | None
    spikes: tuple[int, ...]
    gap: float

    def said(self) -> str:
        """Return the facts in a sentence."""
        kept = "" if self.kept is None else f", the weights of epoch {self.kept} kept"
        numbers = ", ".join(map(str, self.spikes[:8])) + (", ..." if len(self.spikes) > 8 else "")
        spikes = f"spiked in {len(self.spikes)} ({numbers})" if self.spikes else "never spiked"
        side = "above" if self.gap >= 0 else "below"
        gap = "" if math.isnan(self.gap) else f" and ended {abs(self.gap):.3f} {side} training's"
        return f"{self.epochs} epochs{kept}; the validation loss {spikes}{gap}"


def history_facts(
    epochs: Sequence[float],
    losses: Sequence[float | None],
    valid_losses: Sequence[float | None],
    kept: int | None,
) -> HistoryFacts:
    """Count what the curves show.

    Args:
        epochs: Numbers of the epochs.
        losses: Training losses, None or NaN where undefined.
        valid_losses: The same of validation.
        kept: Epoch whose weights were kept.
    """
    numbers = [int(epoch) for epoch in epochs]
    trained, valid = (
        [math.nan if value is None else float(value) for value in values]
        for values in (losses, valid_losses)
    )
    spikes = [
        n
        for n, before, now in zip(numbers[1:], valid, valid[1:], strict=False)
        if now >= SPIKE * before
    ]
    at = numbers.index(kept) if kept in numbers else -1
    gap = valid[at] - trained[at] if numbers else math.nan
    return HistoryFacts(len(numbers), kept, tuple(spikes), gap)


def write_history(path: Path, frame: pd.DataFrame) -> None:
    """Write ``history.csv``, whole or not at all; floats keep every digit."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def read_history(path: Path) -> pd.DataFrame:
    """Read ``history.csv``.

    Raises:
        MissingInputError: There is no such file.
        InputError: It cannot be read, or a column is missing or holds no numbers.
    """
    if not path.is_file():
        raise MissingInputError(f"no training history at {path}")
    try:
        frame = pd.read_csv(path)
    except UNREADABLE as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} is damaged: expected CSV with a header, {why}") from error
    missing = [c for c in HISTORY_COLUMNS if c not in frame]
    if missing:
        raise InputError(f"{path}: the column {missing[0]!r} is missing")
    wrong = [c for c in HISTORY_COLUMNS if not is_numeric_dtype(frame[c])]
    if wrong or not np.isfinite(frame["epoch"]).all():
        column = wrong[0] if wrong else "epoch"
        raise InputError(f"{path} is damaged: the column {column!r} does not hold numbers")
    return frame
