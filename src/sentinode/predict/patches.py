"""From a run and patches to a table of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import Config
from sentinode.core import Progress, provenance
from sentinode.data.loader import batches
from sentinode.errors import InputError
from sentinode.models import Compute, Run, choose_compute, deterministic
from sentinode.predict.forward import forward
from sentinode.tables import PackedSet, Predictions, Split
from sentinode.types import FOLDS, RESEARCH_USE_ONLY, Fold

__all__ = ["predict_set"]

MPP_TOLERANCE = 0.1


def predict_set(
    run: Run, packed: PackedSet, config: Config, folds: Sequence[Fold] | None = None
) -> Predictions:
    """Predict the patches of a packed set.

    Args:
        run: The network.
        packed: The set; where ``split.json`` is in its folder, it gives the folds.
        config: Its ``predict`` section is used.
        folds: Folds to predict; by default all but ``train``. Without a split, all usable
            patches are predicted and none has a fold.

    Raises:
        InputError: Patches of another size or scale, a split that does not belong to the set,
            folds asked for without a split, or no patch in them.
        CheckpointError: The run's weights are damaged.
    """
    check_patches(run, packed.meta.size, packed.meta.mpp, str(packed.folder))
    fold = _folds(run, packed, folds)
    rows = _rows(packed, fold, folds)
    compute = choose_compute(config.predict.device, config.predict.precision)
    network = run.load()
    compute.place(network)
    images = batches(packed.images, rows, config.predict.batch_size)
    with deterministic(compute), Progress("predict", len(rows)) as progress:
        logits = forward(network, images, run.spec.preprocess, compute, progress.advance)
    table = packed.manifest.frame.iloc[rows][["id", "slide", "x", "y", "label"]]
    table = table.assign(fold=fold.iloc[rows], logit=logits)
    return Predictions.make(table, note(run, config, compute, packed.meta.content_hash))


def check_patches(run: Run, size: int, mpp: float | None, name: str) -> None:
    """Refuse patches that the network was not made for.

    Raises:
        InputError: Another size, or a known scale more than a tenth off.
    """
    expected = run.spec.preprocess
    if size != expected.size:
        raise InputError(
            f"{run.spec.name} takes patches of {expected.size} px, {name} has {size} px; "
            f"pack it with --set pack.resize={expected.size}"
        )
    if mpp is not None and abs(mpp / expected.mpp - 1) > MPP_TOLERANCE:
        raise InputError(
            f"{run.spec.name} was trained at {expected.mpp} µm/px, {name} is at {mpp} µm/px; "
            "scale the patches first"
        )


def note(run: Run, config: Config, compute: Compute, input_hash: str) -> dict[str, Any]:
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


def _folds(run: Run, packed: PackedSet, asked: Sequence[Fold] | None) -> pd.Series[str]:
    ids = packed.manifest.frame["id"]
    path = packed.folder / "split.json"
    if not path.is_file():
        if asked is not None:
            raise InputError(
                f"--folds needs a split, {packed.folder} has none; make one with: "
                f"sentinode split {packed.folder}"
            )
        return pd.Series(pd.NA, index=ids.index, dtype="string")
    split = Split.read(path)
    split.check_belongs(packed.manifest.hash, path)
    trained_on = run.record.provenance.inputs
    same_set = trained_on.get("set") == packed.meta.content_hash
    if same_set and trained_on.get("split") != split.hash and "train" not in (asked or ()):
        raise InputError(
            f"{run.folder} was trained on another split of {packed.folder}, so that its training "
            "patches may stand in valid or test now; train again, or name the folds with train "
            "among them"
        )
    return split.folds_of(ids)


def _rows(
    packed: PackedSet, fold: pd.Series[str], asked: Sequence[Fold] | None
) -> NDArray[np.int64]:
    wanted = packed.manifest.usable
    if fold.notna().any():
        chosen = asked if asked is not None else [name for name in FOLDS if name != "train"]
        wanted = wanted & fold.isin(chosen).to_numpy(bool)
    rows = np.flatnonzero(wanted).astype(np.int64)
    if not len(rows):
        raise InputError(f"{packed.folder} has no usable patch to predict in the folds asked for")
    return rows
