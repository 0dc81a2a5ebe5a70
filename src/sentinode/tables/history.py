"""The history of a training: one row per epoch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sentinode.core import atomic_path
from sentinode.errors import InputError, MissingInputError

__all__ = ["HISTORY_COLUMNS", "read_history", "write_history"]

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


def write_history(path: Path, frame: pd.DataFrame) -> None:
    """Write ``history.csv``, whole or not at all; floats keep every digit."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def read_history(path: Path) -> pd.DataFrame:
    """Read ``history.csv``.

    Raises:
        MissingInputError: There is no such file.
        InputError: A column is missing.
    """
    if not path.is_file():
        raise MissingInputError(f"no training history at {path}")
    frame = pd.read_csv(path)
    missing = [c for c in HISTORY_COLUMNS if c not in frame]
    if missing:
        raise InputError(f"{path}: the column {missing[0]!r} is missing")
    return frame
