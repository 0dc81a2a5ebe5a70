"""An export on real patches, beside what PyTorch makes of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sentinode.config import Config, ExportConfig
from sentinode.errors import CheckpointError, InputError
from sentinode.metrics import roc_auc
from sentinode.models import Run
from sentinode.predict import (
    Check,
    Export,
    Runtime,
    TorchRuntime,
    check_fits,
    runtime_of,
    set_logits,
)
from sentinode.tables import Calibration, PackedSet, Split
from sentinode.types import FOLDS, UInt8Array

__all__ = ["ScriptRuntime", "Standard", "training_patches"]


@final
class ScriptRuntime(Runtime):
    """TorchScript, as other programs load it.

    Of a module for WSInfer the logit is what its softmax makes of it, calibration included.
    """

    name, device, precision = "torchscript", "cpu", "float32"

    def __init__(self, export: Export) -> None:
        import torch

        path = export.model()
        try:
            with warnings.catch_warnings():
                # PyTorch would rather have torch.export, which WSInfer and QuPath do not read;
                # 2.13 says so as a DeprecationWarning, 2.14 as a FutureWarning
                warnings.filterwarnings("ignore", ".torch.jit.load. is deprecated")
                self._module = torch.jit.load(  # type: ignore[no-untyped-call]
                    str(path), map_location="cpu"
                )
        except RuntimeError as error:
            raise CheckpointError(f"{path}: PyTorch cannot load it: {error}") from error
        self._wsinfer = export.record.kind == "wsinfer"

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(patches))
        with torch.inference_mode():
            if not self._wsinfer:
                found: Any = self._module(batch)
            else:
                two = self._module(batch.permute(0, 3, 1, 2).float() / 255)
                found = two.log_softmax(1).diff(dim=1)[:, 0]
        logits: NDArray[np.float32] = found.numpy()
        return logits


@final
@dataclass(frozen=True)
class Standard:
    """What PyTorch makes of the patches that exports are checked on.

    Attributes:
        packed: The set.
        rows: int64 (N,), patches of it.
        folds: Theirs.
        labels: int8 (N,).
        logits: float32 (N,).
        calibration: Of the run.
    """

    packed: PackedSet
    rows: NDArray[np.int64]
    folds: tuple[str, ...]
    labels: NDArray[np.int8]
    logits: NDArray[np.float32]
    calibration: Calibration | None

    @classmethod
    def of(cls, run: Run, packed: PackedSet, config: ExportConfig) -> Standard:
        """Let PyTorch predict patches that the run was not trained on, in float32.

        Raises:
            InputError: Patches of another size or scale, or not both labels among them.
        """
        check_fits(run.spec.name, run.spec.preprocess, packed)
        folds = _folds(packed)
        labels = packed.manifest.frame["label"]
        wanted = packed.manifest.usable & labels.notna().to_numpy(bool)
        if folds is not None:
            wanted &= np.isin(folds, [fold for fold in FOLDS if fold != "train"])
        rows = _spread(np.flatnonzero(wanted), config.check_patches)
        known = labels.iloc[rows].to_numpy(np.int8)
        if set(known.tolist()) != {0, 1}:
            raise InputError(
                f"{packed.folder} has no labelled patches of both classes outside fold train, "
                "which an export is checked on; name another set: --check-set SET"
            )
        here = Config().predict.model_copy(update={"device": "cpu", "precision": "float32"})
        logits = set_logits(packed, rows, TorchRuntime(run, here), here.batch_size)
        theirs = () if folds is None else tuple(sorted(set(folds[rows].tolist())))
        return cls(packed, rows, theirs, known, logits, run.calibration())

    def check(self, export: Export, config: ExportConfig) -> Check:
        """Compare an export with PyTorch.

        Raises:
            CheckpointError: The export cannot be loaded.
        """
        settings = Config().predict
        runtime: Runtime
        if export.record.kind in ("torchscript", "wsinfer"):
            runtime = ScriptRuntime(export)
        else:
            runtime = runtime_of(export, settings, settings.batch_size)
        found = set_logits(self.packed, self.rows, runtime, settings.batch_size)
        expected = self._probabilities(self.logits)
        inside = export.record.calibration_inside
        probabilities = expit(found.astype(np.float64)) if inside else self._probabilities(found)
        moved = 0.0 if inside else float(np.abs(found - self.logits).max())
        check = Check(
            passed=True,
            reason="",
            patches=len(self.rows),
            input=self.packed.meta.content_hash,
            folds=self.folds,
            largest_logit_difference=moved,
            largest_probability_difference=float(np.abs(probabilities - expected).max()),
            auc=roc_auc(self.labels, expected),
            auc_of_export=roc_auc(self.labels, probabilities),
        )
        reason = _reason(check, export, config)
        return check.model_copy(update={"passed": not reason, "reason": reason})

    def _probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.calibration is not None:
            return self.calibration.apply(logits)
        plain: NDArray[np.float64] = expit(logits.astype(np.float64))
        return plain


def training_patches(packed: PackedSet, run: Run, count: int) -> UInt8Array:
    """Return training patches, spread over the set: uint8 (N, H, W, 3).

    Raises:
        InputError: Patches of another size or scale, or none of fold train.
    """
    check_fits(run.spec.name, run.spec.preprocess, packed)
    folds = _folds(packed)
    if folds is None:
        raise InputError(
            f"int8 is calibrated on training patches and {packed.folder} has no split; make one "
            f"with: sentinode split {packed.folder}, or name the set of the training: "
            "--calibration-set SET"
        )
    rows = np.flatnonzero(packed.manifest.usable & (folds == "train"))
    if not len(rows):
        raise InputError(
            f"int8 is calibrated on training patches and {packed.folder} has none in fold train; "
            "name another set: --calibration-set SET"
        )
    patches: UInt8Array = packed.images[_spread(rows, count)]
    return patches


def _folds(packed: PackedSet) -> NDArray[np.str_] | None:
    path: Path = packed.folder / "split.json"
    if not path.is_file():
        return None
    split = Split.read(path)
    split.check_belongs(packed.manifest.hash, path)
    folds: NDArray[np.str_] = (
        split.folds_of(packed.manifest.frame["id"]).fillna("").to_numpy(np.str_)
    )
    return folds


def _spread(rows: NDArray[np.intp], most: int) -> NDArray[np.int64]:
    chosen = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)
    return rows[chosen].astype(np.int64)


def _reason(check: Check, export: Export, config: ExportConfig) -> str:
    if abs(check.auc_change) > config.auc_tolerance:
        return (
            f"it moves the ROC AUC by {check.auc_change:+.4f}, from {check.auc:.4f} to "
            f"{check.auc_of_export:.4f}, more than {config.auc_tolerance:g}"
        )
    largest = check.largest_probability_difference
    if export.record.precision == "float32" and largest > config.float32_tolerance:
        return (
            f"it moves a probability by {largest:.2g}, more than the {config.float32_tolerance:g} "
            "that float32 may"
        )
    return ""
