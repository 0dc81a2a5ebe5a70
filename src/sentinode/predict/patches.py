"""From a run or its export and patches to a table of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import Config, PredictConfig
from sentinode.core import hash_bytes, provenance
from sentinode.data import Source, open_source
from sentinode.errors import InputError
from sentinode.predict.choosing import Choice, choose
from sentinode.predict.chunks import Work, compute
from sentinode.predict.exported import Export
from sentinode.predict.orientations import seen
from sentinode.predict.reading import PackedReading, Reading, SourceReading
from sentinode.predict.runtimes import Runtime, runtime_of
from sentinode.tables import PackedSet, Predictions, Split
from sentinode.types import FOLDS, RESEARCH_USE_ONLY, Fold, Preprocess

if TYPE_CHECKING:
    from sentinode.models import Run

__all__ = [
    "check_fits",
    "made_by",
    "predict",
    "predict_set",
    "rows_of_set",
    "set_logits",
    "set_rows",
]

MPP_TOLERANCE = 0.1
KEPT_COLUMNS = ["id", "slide", "x", "y", "label"]


class _Job(NamedTuple):
    choice: Choice
    config: Config
    work: Path | None


def predict(
    run: Run | Path,
    path: Path,
    config: Config,
    folds: Sequence[Fold] | None = None,
    work: Path | None = None,
) -> Predictions:
    """Predict what lies at a path.

    Args:
        run: The network: a run, its folder, or the folder of an export.
        path: A packed set, a folder of images, one image, or anything else that
            `sentinode.data.open_source` reads.
        config: Its ``predict`` section is used.
        folds: Folds to predict, by default all but ``train``; of a source, its own.
        work: Folder in which finished chunks are kept, so that the same call goes on from them;
            it may be removed afterwards.

    Returns:
        One row per patch in the order of the set or source. What could not be used of a source
        stands under ``left_out`` in the note, with the reason by id.

    Raises:
        MissingInputError: There is nothing at the path, or no such run.
        InputError: As of :func:`predict_set`, or no image can be used.
        CheckpointError: The run's weights or the export are damaged.
    """
    if any((path / name).is_file() for name in ("meta.json", "images.npy")):
        return predict_set(run, PackedSet.open(path), config, folds, work=work)
    job = _Job(choose(run, config.predict), config, work)
    return _predict_source(job, open_source(path), path.name, folds)


def predict_set(
    run: Run | Path,
    packed: PackedSet,
    config: Config,
    folds: Sequence[Fold] | None = None,
    split: Split | None = None,
    work: Path | None = None,
) -> Predictions:
    """Predict the patches of a packed set.

    Args:
        run: As of :func:`predict`.
        packed: The set.
        config: Its ``predict`` section is used.
        folds: Folds to predict, by default all but ``train``. Patches that the split leaves out
            are not predicted; without a split, all usable patches are.
        split: Gives the folds; by default the ``split.json`` in the set's folder.
        work: As of :func:`predict`.

    Raises:
        InputError: Patches of another size or scale, a split that does not belong to the set or
            to the run, folds asked for without a split, no patch in them, or no export of the
            runtime and precision asked for.
        CheckpointError: The run's weights or the export are damaged.
    """
    job = _Job(choose(run, config.predict), config, work)
    rows, fold = rows_of_set(job.choice, packed, folds, split)
    table = packed.manifest.frame[KEPT_COLUMNS].assign(fold=fold)
    return _predicted(job, PackedReading(packed, rows), table, str(packed.folder))


def set_rows(run: Run, packed: PackedSet, folds: Sequence[Fold] | None = None) -> NDArray[np.int64]:
    """Return which patches of a set :func:`predict_set` would predict, int64 (M,); errors as there.

    For who looks at patches otherwise than by predicting them, and is to be refused alike.
    """
    return rows_of_set(choose(run, PredictConfig(runtime="torch")), packed, folds, None)[0]


def rows_of_set(
    choice: Choice, packed: PackedSet, folds: Sequence[Fold] | None, split: Split | None
) -> tuple[NDArray[np.int64], pd.Series[str]]:
    """Return which patches of a set are predicted, and the fold of every patch of the set.

    Args:
        choice: What predicts.
        packed: The set.
        folds: As of :func:`predict_set`.
        split: As of :func:`predict_set`.

    Returns:
        int64 (M,), rows of the set, and string (N,), null where a patch has no fold.

    Raises:
        InputError: As of :func:`predict_set`.
    """
    check_fits(choice.name, choice.preprocess, packed)
    fold, is_split = _folds(choice, packed, folds, split)
    wanted = packed.manifest.usable & _chosen(fold, folds, with_none=not is_split)
    return _some_rows(wanted, str(packed.folder)), fold


def _predict_source(
    job: _Job, source: Source, name: str, folds: Sequence[Fold] | None
) -> Predictions:
    _check_scale(job.choice.name, job.choice.preprocess, source.mpp, name)
    with TemporaryDirectory(prefix="sentinode-") as unpacked:
        source.prepare(Path(unpacked))
        fold = source.table["source_fold"]
        rows = _some_rows(_chosen(fold, folds, with_none=folds is None), name)
        reading = SourceReading(source, rows, job.choice.preprocess.size)
        table = source.table[KEPT_COLUMNS].assign(fold=fold)
        return _predicted(job, reading, table, name)


def _predicted(job: _Job, reading: Reading, table: pd.DataFrame, name: str) -> Predictions:
    choice, config = job.choice, job.config.predict
    batch_size = min(config.batch_size, len(reading.rows))
    runtime = seen(runtime_of(choice.source, config, batch_size), config)
    computed_by = made_by(choice, runtime)
    work = None
    if job.work is not None:
        rows = hash_bytes(reading.rows.tobytes())
        key = {"input": reading.fingerprint, "rows": rows, "batch_size": batch_size}
        work = Work(job.work, computed_by | key)
    done = compute(reading, runtime, batch_size, work)
    if not len(done.kept):
        some, why = next(iter(done.left_out.items()))
        raise InputError(
            f"{name} holds no patch that can be used: {len(done.left_out):,} left out, "
            f"{some!r}: {why}"
        )
    input_hash = hash_bytes(done.digests) if done.digests else reading.fingerprint
    note = _note(job, computed_by, input_hash)
    if isinstance(reading, SourceReading):
        note |= {"left_out": done.left_out}
    found = table.iloc[done.kept].assign(logit=done.logits)
    if config.calibrated and choice.calibration is not None:  # the logit stays the network's
        found["probability"] = choice.calibration.apply(done.logits)
        shift = choice.calibration.shift(done.logits)
        known = {} if shift is None else {"shift": shift}
        note |= {"calibration": choice.calibration.summary() | known}
    return Predictions.make(found, note)


def check_fits(name: str, preprocess: Preprocess, packed: PackedSet) -> None:
    """Stop where a network cannot take the patches of a set.

    Args:
        name: Of the network.
        preprocess: Of the network.
        packed: The set.

    Raises:
        InputError: Patches of another size or scale.
    """
    expected = preprocess.size
    if packed.meta.size != expected:
        raise InputError(
            f"{name} takes patches of {expected} px, {packed.folder} has "
            f"{packed.meta.size} px; pack it with --set pack.resize={expected}"
        )
    _check_scale(name, preprocess, packed.meta.mpp, str(packed.folder))


def _check_scale(name: str, preprocess: Preprocess, mpp: float | None, where: str) -> None:
    expected = preprocess.mpp
    if mpp is not None and abs(mpp / expected - 1) > MPP_TOLERANCE:
        raise InputError(
            f"{name} was trained at {expected} µm/px, {where} is at {mpp} µm/px; "
            "scale the patches first"
        )


def set_logits(
    packed: PackedSet, rows: NDArray[np.int64], runtime: Runtime, batch_size: int
) -> NDArray[np.float32]:
    """Return the logits of some patches of a set.

    Args:
        packed: The set.
        rows: int64 (N,), the patches.
        runtime: What computes them.
        batch_size: Patches at once.
    """
    return compute(PackedReading(packed, rows), runtime, batch_size, None).logits


def made_by(choice: Choice, runtime: Runtime) -> dict[str, Any]:
    """Return what computed the logits: equal values, equal logits."""
    made: dict[str, Any] = {
        "model": choice.name,
        "weights_sha256": choice.weights_hash,
        "preprocess": choice.preprocess.model_dump(mode="json"),
        "runtime": runtime.name,
        "device": runtime.device,
        "precision": runtime.precision,
        "orientations": runtime.orientations,
    }
    if runtime.shades > 1:  # as many angles are something else
        made["shades"] = runtime.shades
    if isinstance(choice.source, Export):
        record = choice.source.record
        made["export"] = {"files": record.files, "check": record.check and record.check.summary()}
    return made


def _note(job: _Job, computed_by: dict[str, Any], input_hash: str) -> dict[str, Any]:
    """Return what is written into the predictions about what made them."""
    made = provenance(
        "predict",
        config=job.config.predict.fingerprint(),
        inputs={"weights": job.choice.weights_hash, "input": input_hash},
        packages=("onnxruntime", "openvino") if isinstance(job.choice.source, Export) else (),
    )
    taught = {k: v for k, v in job.choice.trained_on.items() if k in ("set", "split", "behind")}
    remarks = {"remarks": list(job.choice.remarks)} if job.choice.remarks else {}
    return (
        {"notice": RESEARCH_USE_ONLY}
        | computed_by
        | remarks
        | ({"trained_on": taught} if taught else {})
        | {"provenance": made.model_dump(mode="json")}
    )


def _folds(
    choice: Choice, packed: PackedSet, asked: Sequence[Fold] | None, split: Split | None
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
    trained_on = choice.trained_on
    same_set = trained_on.get("set") == packed.meta.content_hash
    if same_set and trained_on.get("split") != split.hash and "train" not in (asked or ()):
        raise InputError(
            f"{choice.folder} was trained on another split of {packed.folder}, so that its "
            "training patches may stand in valid or test now; train again, or name the folds with "
            "train among them"
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
