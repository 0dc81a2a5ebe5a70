"""Predictions and labels of any tool: other column names, other separators, unusable rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.core import nearest
from sentinode.errors import InputError
from sentinode.tables import Predictions, note_beside
from sentinode.tables.frames import UNREADABLE, check_is_file, read_parquet

__all__ = ["COLUMNS", "ReadPredictions", "column_names", "read_labels", "read_predictions"]

COLUMNS = ("id", "probability", "logit", "label", "slide", "centre", "fold", "x", "y")
TEXT = ("id", "slide", "centre", "fold")
MOST_OUTSIDE = 0.05
NO_NUMBER = "its probability is no number"
NAME_LOGITS = "Name logits so by --column logit=THEIRS"
OUTSIDE = "its probability is outside 0..1"


@final
@dataclass(frozen=True)
class ReadPredictions:
    """Predictions as read, and the centre of each id where the file knows it."""

    predictions: Predictions
    centres: dict[str, str]


def column_names(pairs: list[str]) -> dict[str, str]:
    """Return name -> the name a file has for it, from ``NAME=THEIRS`` each.

    Raises:
        InputError: It is not of that form, or no such column is read.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        name, equals, theirs = pair.partition("=")
        if not equals or not theirs or name not in COLUMNS:
            raise InputError(
                f"--column {pair}: expected NAME=THEIRS with a name of {', '.join(COLUMNS)}, as in "
                "--column probability=tumor_score"
            )
        names[name] = theirs
    return names


def read_predictions(
    path: Path, names: Mapping[str, str] | None = None, elsewhere: Collection[str] = ()
) -> ReadPredictions:
    """Read a table of predictions: Parquet, or CSV with commas, semicolons or tabs.

    Rows without a usable number are left out, with the reason by id in the note's ``left_out``.

    Args:
        path: The file.
        names: Name -> the name that the file has for it.
        elsewhere: Names that another file has; this one may lack them.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged, lacks a column, no row is usable, or so many probabilities are
            outside 0..1 that they are none.
    """
    frame, note = _table(path, names or {}, "predictions")
    here = {
        name: theirs
        for name, theirs in (names or {}).items()
        if theirs in frame or name not in elsewhere
    }
    frame, left_out = _usable(_named(frame, here, path), path)
    if left_out:
        note = note | {"left_out": {**note.get("left_out", {}), **left_out}}
    return ReadPredictions(Predictions.of_others(frame, note), _centres(frame))


def read_labels(path: Path, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read labels: id, label, and slide, centre and fold where the file has them.

    Names that the file does not have are taken to be of the predictions and left aside.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged.
    """
    frame, _ = _table(path, names or {}, "labels")
    there = {name: theirs for name, theirs in (names or {}).items() if theirs in frame}
    return _named(frame, there, path)


def _table(path: Path, names: Mapping[str, str], what: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        return read_parquet(path, what)
    check_is_file(path, what)
    texts = {theirs: "string" for name in TEXT for theirs in (name, names.get(name, name))}
    try:
        return pd.read_csv(path, sep=_separator(path), dtype=texts), _note(path, what)
    except UNREADABLE as error:
        raise InputError(f"{path}: expected CSV with a header, {error}") from error


def _note(path: Path, what: str) -> dict[str, Any]:
    return note_beside(path) if what == "predictions" else {}


def _separator(path: Path) -> str:
    """Return the sign that stands most often in the first line of a table."""
    if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zip", ".zst"):
        return ","
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        first = handle.readline()
    return max((",", ";", "\t"), key=first.count)


def _named(frame: pd.DataFrame, names: Mapping[str, str], path: Path) -> pd.DataFrame:
    for name, theirs in names.items():
        if theirs not in frame:
            near = nearest(theirs, [str(column) for column in frame])
            hint = f"; the nearest is {near!r}" if near else ""
            raise InputError(
                f"{path} has no column {theirs!r} for {name}; it has "
                f"{', '.join(map(str, frame))}{hint}"
            )
    taken = set(names) - set(names.values())
    return frame.drop(columns=[c for c in taken if c in frame]).rename(
        columns={theirs: name for name, theirs in names.items()}
    )


def _usable(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows with a usable number, and why the others are left out, by id."""
    column = "probability" if "probability" in frame else "logit"
    if "id" not in frame or column not in frame or not len(frame):
        return frame, {}  # said by Predictions.of_others, or no row to be left out
    try:
        values = pd.to_numeric(frame[column]).to_numpy("float64", na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: column {column!r} is no {column}, expected numbers: {error}"
        ) from error
    missing = np.isnan(values)
    outside = np.zeros(len(values), np.bool_)
    if column == "probability":
        outside = ~missing & ~((values >= 0) & (values <= 1))
    if outside.mean() > MOST_OUTSIDE:
        of_hundred = ((values >= 0) & (values <= 100) | missing).all()
        advice = "Divide scores of 0..100 by 100" if of_hundred else NAME_LOGITS
        raise InputError(
            f"{path}: {outside.sum():,} of {len(values):,} values of {column!r}, such as "
            f"{values[outside][0]:g}, are outside; expected a number in 0..1 each. {advice}"
        )
    wrong = missing | outside
    if wrong.all():
        raise InputError(
            f"{path}: no value of {column!r} can be used, expected a number in 0..1 each"
        )
    reasons = np.where(missing, NO_NUMBER, OUTSIDE)[wrong]
    left_out = dict(zip(frame["id"][wrong].astype(str), reasons.tolist(), strict=True))
    return frame[~wrong].reset_index(drop=True), left_out


def _centres(frame: pd.DataFrame) -> dict[str, str]:
    if "centre" not in frame:
        return {}
    known = frame[frame["centre"].notna()]
    return dict(zip(known["id"].astype(str), known["centre"].astype(str), strict=True))
