"""Leaderboard scores from a CSV, by the name of a run or group."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.core import unknown_name
from sentinode.errors import InputError, MissingInputError
from sentinode.tables.frames import UNREADABLE

__all__ = ["read_boards"]

KEYS = ("name", "run", "fileName")
SCORES = {"publicScore": "public", "privateScore": "private"}


def read_boards(path: Path, names: Collection[str]) -> dict[str, dict[str, float]]:
    """Read scores: a column of names, and one column of numbers for each board.

    The CSV that ``kaggle competitions submissions --csv`` prints is read as it is: the name is
    that of the submitted file without its ending, and rows of other files are passed over.

    Args:
        path: The CSV.
        names: Names of the runs and groups.

    Raises:
        MissingInputError: There is no such file.
        InputError: It cannot be read, has no column of names or of scores, an unknown name or one
            twice, or a score that is infinite or no number.
    """
    if not path.is_file():
        raise MissingInputError(f"no leaderboard at {path}")
    try:
        table = pd.read_csv(path)
    except UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: expected CSV with a header, {why}") from error
    key = next((column for column in KEYS if column in table), None)
    if key is None:
        raise InputError(
            f"{path}: expected a column {' or '.join(KEYS)}, got {', '.join(map(str, table))}"
        )
    table = table.assign(**{key: table[key].astype(str)})
    if key == "fileName":
        table[key] = table[key].str.removesuffix(".csv")
        table = table[table[key].isin(list(names))].drop_duplicates(key)
        table = table[[key, *(c for c in SCORES if c in table)]].rename(columns=SCORES)
    _check_numbers(table, key, path)
    scores = table.drop(columns=key).select_dtypes("number")
    if scores.empty and len(table):
        raise InputError(f"{path}: no column of scores, such as public and private")
    twice = table[key][table[key].duplicated()]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]!r} stands more than once")
    for name in table[key]:
        if name not in names:
            raise InputError(f"{path}: {unknown_name('run', name, names)}")
    endless = np.isinf(scores.to_numpy(float)).any(axis=1)
    if endless.any():
        raise InputError(
            f"{path}: a score of {table[key][endless].iloc[0]!r} is infinite; expected numbers, or "
            "nothing where there is no score"
        )
    return {
        name: {str(c): float(v) for c, v in row.items() if pd.notna(v)}
        for name, row in zip(table[key], scores.to_dict("records"), strict=True)
    }


def _check_numbers(table: pd.DataFrame, key: str, path: Path) -> None:
    """Refuse a column of scores with something else in it, which would not be read as scores.

    It is one by its name, or where most of it is numbers.
    """
    for column in table.drop(columns=key).select_dtypes(exclude="number"):
        values = table[column]
        wrong = values.notna() & pd.to_numeric(values, errors="coerce").isna()
        of_scores = str(column).casefold() in SCORES.values()
        if wrong.any() and (of_scores or 2 * wrong.sum() < values.notna().sum()):
            raise InputError(
                f"{path}: {column} of {table[key][wrong].iloc[0]!r} is {values[wrong].iloc[0]!r}; "
                "expected numbers, or nothing where there is no score"
            )
