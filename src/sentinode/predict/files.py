"""Predictions into a file, so that an interrupted command goes on where it was."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.config import Config
from sentinode.core import folder_lock
from sentinode.errors import InputError
from sentinode.predict.patches import predict
from sentinode.tables import Predictions
from sentinode.types import Fold

if TYPE_CHECKING:
    from sentinode.models import Run

__all__ = ["predict_file"]


def predict_file(
    run: Run | Path, path: Path, out: Path, config: Config, folds: Sequence[Fold] | None = None
) -> Predictions:
    """Predict what lies at a path and write it.

    Finished chunks are kept in a hidden folder beside ``out`` until that is written. Interrupted
    and called again, it goes on from them and ends in the same bytes; where the network, what
    computes it, or the patches have changed, they are thrown away.

    Args:
        run: As of :func:`predict`.
        path: As of :func:`predict`.
        out: File to write, ``.parquet``, which holds the note too, or ``.csv``, where the note
            lies beside it, see `Predictions.write`.
        config: Its ``predict`` section is used.
        folds: As of :func:`predict`.

    Raises:
        InputError: As of :func:`predict`, or ``out`` ends otherwise.
        BusyError: Another process predicts into the same file.
        DiskFullError: There is no room.
    """
    suffix = out.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise InputError(f"predictions are written as .parquet or .csv, got {out.name}")
    if out.is_dir():
        raise InputError(f"{out} is a folder, expected the name of a .parquet or .csv file")
    work = out.with_name(f".{out.name}.work")
    with folder_lock(work):
        predictions = predict(run, path, config, folds, work)
        predictions.write(out)
    shutil.rmtree(work)
    return predictions
