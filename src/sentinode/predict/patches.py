"""From a run and patches to a table of probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from sentinode.config import Config
from sentinode.core import Progress, provenance
from sentinode.data import Source, open_source
from sentinode.data.loader import batches
from sentinode.errors import InputError
from sentinode.models import Compute, Run, choose_compute, deterministic
from sentinode.predict.forward import forward
from sentinode.predict.reading import Reading
from sentinode.tables import PackedSet, Predictions, Split
from sentinode.types import FOLDS, RESEARCH_USE_ONLY, Fold

__all__ = ["predict", "predict_set"]

MPP_TOLERANCE = 0.1
KEPT_COLUMNS = ["id", "slide", "x", "y", "label"]


def predict(
    run: Run, path: Path, config: Config, folds: Sequence[Fold] | None = None
) -> Predictions:
    """Predict what lies at a path.

    Args:
        run: The network.
        path: A packed set, a folder of images, one image, or anything else that
            `sentinode.data.open_source` reads.
        config: Its ``predict`` section is used.
        folds: Folds to predict, by default all but ``train``; of a source, its own.

    Returns:
        One row per patch in the order of the set or source. What could not be used of a source
        stands under ``left_out`` in the note, with the reason by id.

    Raises:
        MissingInputError: There is nothing at the path.
        InputError: As of :func:`predict_set`, or no image can be used.
        CheckpointError: The run's weights are damaged.
    """
    if any((path / name).is_file() for name in ("meta.json", "images.npy")):
        return predict_set(run, PackedSet.open(path), config, folds)
    return _predict_source(run, open_source(path), path.name, config, folds)


def predict_set(
    run: Run,
    packed: PackedSet,
    config: Config,
    folds: Sequence[Fold] | None = None,
    split: Split | None = None,
) -> Predictions:
    """Predict the patches of a packed set.

    Args:
        run: The network.
        packed: The set.
        config: Its ``predict`` section is used.
        folds: Folds to predict, by default all but ``train``. Patches that the split leaves out
            are not predicted; without a split, all usable patches are.
        split: Gives the folds; by default the ``split.json`` in the set's folder.

    Raises:
        InputError: Patches of another size or scale, a split that does not belong to the set or
            to the run, folds asked for without a split, or no patch in them.
        CheckpointError: The run's weights are damaged.
    """
    _check_size(run, packed)
    _check_scale(run, packed.meta.mpp, str(packed.folder))
    fold, is_split = _folds(run, packed, folds, split)
    wanted = packed.manifest.usable & _chosen(fold, folds, with_none=not is_split)
    rows = _some_rows(wanted, str(packed.folder))
    images = batches(packed.images, rows, config.predict.batch_size)
    logits, compute = _logits(run, images, len(rows), config)
    table = packed.manifest.frame.iloc[rows][KEPT_COLUMNS]
    note = _note(run, config, compute, packed.meta.content_hash)
    return _made(run, config, table.assign(fold=fold.iloc[rows], logit=logits), note)


def _predict_source(
    run: Run, source: Source, name: str, config: Config, folds: Sequence[Fold] | None
) -> Predictions:
    _check_scale(run, source.mpp, name)
    with TemporaryDirectory(prefix="sentinode-") as work:
        source.prepare(Path(work))
        return _predict_prepared(run, source, name, config, folds)


def _predict_prepared(
    run: Run, source: Source, name: str, config: Config, folds: Sequence[Fold] | None
) -> Predictions:
    fold = source.table["source_fold"]
    rows = _some_rows(_chosen(fold, folds, with_none=folds is None), name)
    reading = Reading(source, rows, run.spec.preprocess.size)
    images = reading.batches(config.predict.batch_size)
    logits, compute = _logits(run, images, len(rows), config)
    if not reading.kept:
        some, why = next(iter(reading.left_out.items()))
        raise InputError(
            f"{name} holds no patch that can be used: {len(rows):,} left out, {some!r}: {why}"
        )
    table = source.table.iloc[reading.kept]
    table = table[KEPT_COLUMNS].assign(fold=fold.iloc[reading.kept], logit=logits)
    note = _note(run, config, compute, reading.content_hash)
    return _made(run, config, table, note | {"left_out": reading.left_out})


def _made(run: Run, config: Config, table: pd.DataFrame, note: dict[str, Any]) -> Predictions:
    """Put the run's calibration upon the logits, which stay as the network gave them."""
    calibration = run.calibration() if config.predict.calibrated else None
    if calibration is not None:
        table = table.assign(probability=calibration.apply(table["logit"].to_numpy()))
        note = note | {"calibration": calibration.summary()}
    return Predictions.make(table, note)


def _logits(
    run: Run, images: Iterable[Tensor], total: int, config: Config
) -> tuple[NDArray[np.float32], Compute]:
    compute = choose_compute(config.predict.device, config.predict.precision)
    network = run.load()
    compute.place(network)
    with deterministic(compute), Progress("predict", total) as progress:
        logits = forward(network, images, run.spec.preprocess, compute, progress.advance)
    return logits, compute


def _check_size(run: Run, packed: PackedSet) -> None:
    expected = run.spec.preprocess.size
    if packed.meta.size != expected:
        raise InputError(
            f"{run.spec.name} takes patches of {expected} px, {packed.folder} has "
            f"{packed.meta.size} px; pack it with --set pack.resize={expected}"
        )


def _check_scale(run: Run, mpp: float | None, name: str) -> None:
    expected = run.spec.preprocess.mpp
    if mpp is not None and abs(mpp / expected - 1) > MPP_TOLERANCE:
        raise InputError(
            f"{run.spec.name} was trained at {expected} µm/px, {name} is at {mpp} µm/px; "
            "scale the patches first"
        )


def _note(run: Run, config: Config, compute: Compute, input_hash: str) -> dict[str, Any]:
    """Return what is written into the predictions about what made them."""
    made = provenance(
        "predict",
        config=config.predict.fingerprint(),
        inputs={"weights": run.weights_hash, "input": input_hash},
    )
    return {
        "notice": RESEARCH_USE_ONLY,
        "model": run.spec.name,
        "weights_sha256": run.weights_hash,
        "preprocess": run.spec.preprocess.model_dump(mode="json"),
        "runtime": "torch",
        "device": compute.device,
        "precision": compute.precision,
        "provenance": made.model_dump(mode="json"),
    }


def _folds(
    run: Run, packed: PackedSet, asked: Sequence[Fold] | None, split: Split | None
) -> tuple[pd.Series[str], bool]:
    """Return the fold of each patch, null where it has none, and whether there is a split."""
    ids = packed.manifest.frame["id"]
    path = packed.folder / "split.json"
    if split is None and not path.is_file():
        if asked is not None:
            raise InputError(
                f"--folds needs a split, {packed.folder} has none; make one with: "
                f"sentinode split {packed.folder}"
            )
        return pd.Series(pd.NA, index=ids.index, dtype="string"), False
    split = split or Split.read(path)
    split.check_belongs(packed.manifest.hash, path)
    trained_on = run.record.provenance.inputs
    same_set = trained_on.get("set") == packed.meta.content_hash
    if same_set and trained_on.get("split") != split.hash and "train" not in (asked or ()):
        raise InputError(
            f"{run.folder} was trained on another split of {packed.folder}, so that its training "
            "patches may stand in valid or test now; train again, or name the folds with train "
            "among them"
        )
    return split.folds_of(ids), True


def _chosen(
    fold: pd.Series[str], asked: Sequence[Fold] | None, *, with_none: bool
) -> NDArray[np.bool_]:
    names = asked if asked is not None else [name for name in FOLDS if name != "train"]
    chosen = fold.isin(names)
    return (chosen | fold.isna() if with_none else chosen).to_numpy(bool)


def _some_rows(wanted: NDArray[np.bool_], name: str) -> NDArray[np.int64]:
    rows = np.flatnonzero(wanted).astype(np.int64)
    if not len(rows):
        raise InputError(f"{name} has no usable patch to predict in the folds asked for")
    return rows
