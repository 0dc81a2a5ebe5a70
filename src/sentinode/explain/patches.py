"""Patches with what a run said of them, whatever they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, final

import numpy as np
import pandas as pd

from sentinode.config import Config
from sentinode.data import open_source
from sentinode.errors import InputError
from sentinode.metrics import IntArray
from sentinode.models import Run
from sentinode.predict import predict
from sentinode.tables import PackedSet, Predictions
from sentinode.types import Fold, UInt8Array

__all__ = ["Patches", "is_set"]


def is_set(path: Path) -> bool:
    """Tell whether a packed set lies at a path."""
    return any((path / name).is_file() for name in ("meta.json", "images.npy"))


@final
@dataclass(frozen=True)
class Patches:
    """Patches and their predictions.

    Attributes:
        table: As of :class:`~sentinode.tables.Predictions`, index 0..N-1.
        note: What made the predictions.
        read: From rows of the table to their patches, uint8 (n, H, W, 3).
    """

    table: pd.DataFrame
    note: dict[str, Any]
    read: Callable[[Sequence[int] | IntArray], UInt8Array]

    @classmethod
    def of(
        cls,
        run: Run,
        path: Path,
        config: Config,
        stack: ExitStack,
        *,
        folds: Sequence[Fold] | None = None,
        predictions: Path | None = None,
    ) -> Self:
        """Predict the patches at a path, or take predictions made before.

        Args:
            run: The network.
            path: A packed set, a folder of images, or one image.
            config: Its section ``predict`` is used.
            stack: Holds what has to be unpacked for as long as patches are read.
            folds: As of :func:`sentinode.predict.predict`.
            predictions: What this run predicted for the same patches.

        Raises:
            InputError: The predictions are another run's, or none of them is about these patches;
                and as of :func:`sentinode.predict.predict`.
        """
        if predictions is None:
            found = predict(run, path, config, folds)
        else:
            found = _made_before(run, predictions, folds)
        ids, read = _reader(path, stack)
        rows = pd.Series(np.arange(len(ids)), index=ids).reindex(found.frame["id"].astype(str))
        table = found.frame[rows.notna().to_numpy()].reset_index(drop=True)
        if not len(table):
            raise InputError(f"{predictions} holds no prediction of a patch in {path}")
        at = rows.dropna().astype(int).to_numpy()
        return cls(table, dict(found.note), lambda wanted: read(at[np.asarray(wanted, np.int64)]))


def _made_before(run: Run, path: Path, folds: Sequence[Fold] | None) -> Predictions:
    found = Predictions.read(path)
    if found.note.get("weights_sha256", run.weights_hash) != run.weights_hash:
        raise InputError(f"{path} was predicted by other weights than {run.folder} holds")
    if folds is None:
        return found
    return Predictions(found.frame[found.frame["fold"].isin(folds)], found.note)


def _reader(path: Path, stack: ExitStack) -> tuple[list[str], Callable[[Any], UInt8Array]]:
    if is_set(path):
        packed = PackedSet.open(path)
        return packed.manifest.frame["id"].tolist(), lambda rows: np.asarray(packed.images[rows])
    source = open_source(path)
    source.prepare(Path(stack.enter_context(TemporaryDirectory(prefix="sentinode-"))))
    return source.table["id"].tolist(), lambda rows: np.stack([source.read(int(r)) for r in rows])
