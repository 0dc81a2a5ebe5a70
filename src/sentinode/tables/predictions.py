"""Predictions: the seam between networks and everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.core import atomic_path
from sentinode.errors import InputError
from sentinode.tables.frames import check_is_file, read_parquet, typed, write_parquet

__all__ = ["PREDICTION_DTYPES", "Predictions"]

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
                no number or outside 0..1, or a label that is not 0, 1 or null.
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
        _check(table)
        return cls(table, note)

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read ``.parquet`` or ``.csv``.

        Raises:
            MissingInputError: There is no such file.
            InputError: As of :meth:`make`, a damaged file, or a folder.
        """
        if path.suffix.lower() == ".parquet":
            return cls.make(*read_parquet(path, "predictions"))
        check_is_file(path, "predictions")
        try:
            frame = pd.read_csv(path, dtype={"id": "string", "slide": "string"})
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected CSV with a header, {error}") from error
        return cls.make(frame, {})

    def write(self, path: Path) -> None:
        """Write ``.csv`` or ``.parquet`` by the suffix, whole or not at all.

        Raises:
            InputError: Another suffix.
        """
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            write_parquet(path, self.frame, self.note)
        elif suffix == ".csv":
            with atomic_path(path) as temporary:
                self.frame.to_csv(temporary, index=False, lineterminator="\n")
        else:
            raise InputError(f"predictions are written as .parquet or .csv, got {path.name}")


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    try:
        return frame[column].astype("float64")
    except (ValueError, TypeError) as error:
        raise InputError(f"predictions: column {column!r} expected numbers: {error}") from error


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
