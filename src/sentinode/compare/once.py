"""Predictions that are kept, and made again when anything that shapes them has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentinode import __version__
from sentinode.config import Config
from sentinode.core import hash_file, hash_json
from sentinode.models import Run
from sentinode.predict import exports_in, predict_set
from sentinode.tables import PackedSet, Predictions, Split
from sentinode.types import Fold

__all__ = ["predict_once"]

MADE_FROM = "made_from"


def predict_once(
    path: Path,
    run: Run,
    packed: PackedSet,
    config: Config,
    folds: Sequence[Fold] | None = None,
    split: Split | None = None,
) -> Predictions:
    """Read predictions of a set if they are those that would be made now, else make and keep them.

    Args:
        path: Of the predictions, Parquet.
        run: What predicts.
        packed: The set.
        config: Its ``predict`` section is used.
        folds: As of `predict_set`.
        split: As of `predict_set`.

    Raises:
        InputError: As of `predict_set`.
        CheckpointError: As of `predict_set`.
    """
    made_from = _made_from(run, packed, config, folds, split)
    if path.is_file():
        kept = Predictions.read(path)
        if kept.note.get(MADE_FROM) == made_from:
            return kept
    found = predict_set(run, packed, config, folds, split)
    made = Predictions(found.frame, {**found.note, MADE_FROM: made_from})
    made.write(path)
    return made


def _made_from(
    run: Run,
    packed: PackedSet,
    config: Config,
    folds: Sequence[Fold] | None,
    split: Split | None,
) -> str:
    """Return the hash of all that a prediction depends on, the files that may change included."""
    own = packed.folder / "split.json"
    calibration = run.calibration()
    return hash_json(
        {
            "sentinode": __version__,
            "config": config.predict.fingerprint(),
            "weights": run.weights_hash,
            "calibration": None if calibration is None else calibration.curve(),
            "exports": {
                export.folder.name: export.record.files for export in exports_in(run.folder)
            },
            "set": packed.meta.content_hash,
            "manifest": packed.manifest.hash,
            "folds": None if folds is None else list(folds),
            "split": split.hash if split else hash_file(own) if own.is_file() else None,
        }
    )
