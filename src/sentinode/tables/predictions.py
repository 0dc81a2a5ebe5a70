"""Predictions: the seam between networks and everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.core import atomic_path, hash_file, read_json, write_json
from sentinode.errors import InputError
from sentinode.tables.frames import UNREADABLE, check_is_file, read_parquet, typed, write_parquet
from sentinode.types import FOLD_NAMES, FOLDS

__all__ = ["PREDICTION_DTYPES", "Predictions", "note_beside"]

NOTE_SUFFIX = ".json"
TABLE_HASH = "table_sha256"

PREDICTION_DTYPES: dict[str, str] = {
    "id": "string",
    "slide": "string",
    "x": "Int64",
    "y": "Int64",
    "label": "Int8",  # 0, 1 or null
    "fold": "string",  # train, valid, test, unlabelled or null
    "logit": "float32",
    "probability": "float32",  # of tumour in the centre, 0..1
}
MOST_TIED = 0.25  # of the pairs of rows, where half of the rows have one probability
FEWEST = 50


@final
@dataclass(frozen=True)
class Predictions:
    """One row per patch.

    Attributes:
        frame: Columns and dtypes of :data:`PREDICTION_DTYPES`.
        note: What made them: provenance, model, hashes, runtime, precision.
    """

    frame: pd.DataFrame
    note: Mapping[str, Any]

    @classmethod
    def make(cls, frame: pd.DataFrame, note: Mapping[str, Any]) -> Predictions:
        """Check and type a table; of logit and probability one is enough.

        Raises:
            InputError: No id column, an id twice, neither logit nor probability, a value that is
                no number or outside 0..1, a label that is not 0, 1 or null, or a fold that is none.
        """
        if "id" not in frame or not {"logit", "probability"} & set(frame.columns):
            raise InputError(
                "predictions need the columns id and probability (or logit), "
                f"got {', '.join(map(str, frame.columns)) or 'no columns'}"
            )
        frame = frame.copy()
        if "probability" not in frame:
            logit = _numbers(frame, "logit")
            frame["probability"] = np.exp(-np.logaddexp(0.0, -logit))
        if "logit" not in frame:
            p = _numbers(frame, "probability").clip(1e-7, 1 - 1e-7)
            frame["logit"] = np.log(p) - np.log1p(-p)
        table = typed(frame, PREDICTION_DTYPES, "predictions")
        table["fold"] = _folds(table)
        _check(table)
        return cls(table, note)

    @classmethod
    def of_others(cls, frame: pd.DataFrame, note: Mapping[str, Any]) -> Predictions:
        """Check and type a table that may come from another program.

        Raises:
            InputError: As of :meth:`make`, or numbers so large that their order is lost in a
                probability.
        """
        made = cls.make(frame, note)
        given = {"logit", "probability"} & set(frame.columns)
        if len(given) == 1:
            _check_order(frame, given.pop(), made.frame["probability"])
        return made

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read ``.parquet``, or ``.csv`` and the note beside it.

        Raises:
            MissingInputError: There is no such file.
            InputError: As of :meth:`of_others`, a damaged file, or a folder.
        """
        if path.suffix.lower() == ".parquet":
            return cls.of_others(*read_parquet(path, "predictions"))
        check_is_file(path, "predictions")
        try:
            frame = pd.read_csv(path, dtype={"id": "string", "slide": "string"})
        except UNREADABLE as error:
            raise InputError(f"{path}: expected CSV with a header, {error}") from error
        return cls.of_others(frame, note_beside(path))

    def write(self, path: Path) -> None:
        """Write ``.csv`` or ``.parquet`` by the suffix, whole or not at all.

        A CSV has no place for the note, which lies beside it as ``NAME.csv.json``.

        Raises:
            InputError: Another suffix.
            DiskFullError: There is no room.
        """
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            write_parquet(path, self.frame, self.note)
        elif suffix == ".csv":
            with atomic_path(path) as temporary:
                self.frame.to_csv(temporary, index=False, lineterminator="\n")
            beside = path.with_name(path.name + NOTE_SUFFIX)
            write_json(beside, {**self.note, TABLE_HASH: hash_file(path)})
        else:
            raise InputError(f"predictions are written as .parquet or .csv, got {path.name}")


def note_beside(path: Path) -> dict[str, Any]:
    """Return the note that lies beside a CSV, empty where there is none or the CSV was changed."""
    beside = path.with_name(path.name + NOTE_SUFFIX)
    try:
        note = read_json(beside) if beside.is_file() else None
    except InputError:  # somebody else's file
        return {}
    if not isinstance(note, dict) or note.pop(TABLE_HASH, None) != hash_file(path):
        return {}
    return note


def _folds(table: pd.DataFrame) -> pd.Series[str]:
    """Return the folds by our names; what others call them is understood."""
    given = table["fold"].str.strip().str.lower()
    given = given.mask(given.isin(["", "none"]))
    found = given.map(FOLD_NAMES | {str(name): str(name) for name in FOLDS}).astype("string")
    strange = found.isna() & given.notna()
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise InputError(
            f"predictions: fold {table['fold'].iloc[row]!r} of id {table['id'].iloc[row]!r}, "
            f"expected one of {', '.join(FOLDS)}; rename a column fold that means something else"
        )
    return found


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    try:
        return frame[column].astype("float64")
    except (ValueError, TypeError) as error:
        raise InputError(f"predictions: column {column!r} expected numbers: {error}") from error


def _check_order(frame: pd.DataFrame, column: str, probability: pd.Series[float]) -> None:
    """Refuse numbers that differ and become one probability: nothing would rank them any more."""
    given = frame[column].to_numpy("float64")
    lost = _tied(probability.to_numpy()) - _tied(given)
    if len(given) >= FEWEST and lost > MOST_TIED * len(given) * (len(given) - 1) / 2:
        raise InputError(
            f"predictions: the order of {column!r} ({given.min():g} to {given.max():g}) is lost, "
            f"since {lost:,} pairs of rows differ in it and have one probability at float32's "
            "precision; give numbers that are less large or less close to 1, as by dividing "
            "logits by one number"
        )


def _tied(values: NDArray[np.floating[Any]]) -> int:
    """Return the number of pairs of equal values."""
    count = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((count * (count - 1) // 2).sum())


def _check(table: pd.DataFrame) -> None:
    if table["id"].isna().any():
        raise InputError("predictions: a row has no id")
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise InputError(f"predictions: id {twice.iloc[0]!r} stands more than once")
    p = table["probability"].to_numpy("float64")
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"predictions: probability of id {table['id'].iloc[row]!r} is {p[row]}, "
            "expected a number in 0..1"
        )
    labels = table["label"].dropna()
    if not labels.isin([0, 1]).all():
        raise InputError(f"predictions: label {labels[~labels.isin([0, 1])].iloc[0]} is not 0 or 1")
