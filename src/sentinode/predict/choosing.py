"""What predicts: a run by PyTorch, or one of its exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from sentinode.config import PredictConfig
from sentinode.core import read_json
from sentinode.errors import InputError
from sentinode.predict.exported import EXPORT_FILE, Export, exports_in
from sentinode.predict.runtimes import gpu_there, openvino_computes
from sentinode.tables import Calibration
from sentinode.types import Preprocess

if TYPE_CHECKING:
    from sentinode.models import Run

__all__ = ["Choice", "choose"]

RUN_FILE, WEIGHTS_FILE = "run.json", "model.safetensors"  # of models, which needs PyTorch
FASTEST = (
    ("openvino", "int8"),
    ("openvino", "bfloat16"),
    ("openvino", "float32"),
    ("onnx", "int8"),
    ("onnx", "float32"),
)
"""Exports in the order in which they are taken; PyTorch comes behind them."""


@final
@dataclass(frozen=True)
class Choice:
    """What predicts, and what must be known of it.

    Attributes:
        folder: Of the run or the export.
        name: Of the network.
        preprocess: What it takes.
        weights_hash: SHA-256 of the run's weights.
        trained_on: Of its training, as of `Run.taught_by`.
        source: The run, by PyTorch, or the export.
        calibration: What is put upon the logits.
        remarks: What the user should know of the choice, a line each.
    """

    folder: Path
    name: str
    preprocess: Preprocess
    weights_hash: str
    trained_on: Mapping[str, str]
    source: Run | Export
    calibration: Calibration | None
    remarks: tuple[str, ...]


def choose(run: Run | Path, config: PredictConfig) -> Choice:
    """Settle what predicts.

    Where neither runtime nor precision is asked for, that is a GPU by PyTorch where there is one,
    else the fastest export that passed its check, else PyTorch in float32.

    Args:
        run: A run, its folder, an export's folder, or a folder of exports.
        config: Runtime, precision and device.

    Raises:
        MissingInputError: There is no run and no export.
        CheckpointError: One is damaged.
        InputError: What is asked for is not there, or a folder has exports of several networks.
    """
    folder = run if isinstance(run, Path) else run.folder
    is_run = (folder / RUN_FILE).is_file()
    not_needed = is_run and config.runtime == "torch"  # a damaged export then stops nothing
    exports = exports_in(folder) if folder.is_dir() and not not_needed else []
    if not (is_run or exports):
        from sentinode.models import Run

        return _by_torch(Run.open(folder), ())  # which says what is missing
    if not is_run and len({e.record.weights_sha256 for e in exports}) > 1:
        raise InputError(
            f"{folder} holds exports of several networks "
            f"({', '.join(e.folder.name for e in exports)}); give the folder of one export"
        )
    remarks: list[str] = []
    export = None
    if config.runtime != "torch" and not (is_run and _on_gpu(config)):
        usable = [e for e in exports if _usable(e, folder, config, remarks)]
        export = min(usable, key=_rank, default=None)
    if export is not None:
        return _by_export(export, folder, is_run, remarks)
    if not is_run or config.runtime in ("onnx", "openvino") or config.precision == "int8":
        raise InputError(_nothing(folder, exports, config, remarks))
    from sentinode.models import Run

    opened = Run.open(folder) if isinstance(run, Path) else run
    return _by_torch(opened.taught(), tuple(remarks))


def _by_torch(run: Run, remarks: tuple[str, ...]) -> Choice:
    return Choice(
        folder=run.folder,
        name=run.spec.name,
        preprocess=run.spec.preprocess,
        weights_hash=run.weights_hash,
        trained_on=run.taught_by(),
        source=run,
        calibration=run.calibration(),
        remarks=remarks,
    )


def _by_export(export: Export, folder: Path, is_run: bool, remarks: list[str]) -> Choice:
    record = export.record
    if record.check is None or not record.check.passed:
        why = "it was not checked" if record.check is None else record.check.reason
        remarks.append(f"warning: {export.title} did not pass a check when it was exported: {why}")
    return Choice(
        folder=export.folder,
        name=record.name,
        preprocess=record.preprocess,
        weights_hash=record.weights_sha256,
        trained_on=record.trained_on,
        source=export,
        # a run may have been calibrated anew since
        calibration=Calibration.read(folder if is_run else export.folder, record.weights_sha256),
        remarks=tuple(remarks),
    )


def _usable(export: Export, folder: Path, config: PredictConfig, remarks: list[str]) -> bool:
    record = export.record
    if (record.kind, record.precision) not in FASTEST:
        return False
    runtime_asked, precision_asked = config.runtime != "auto", config.precision != "auto"
    if (runtime_asked and record.kind != config.runtime) or (
        precision_asked and record.precision != config.precision
    ):
        return False
    if (folder / RUN_FILE).is_file() and record.weights_sha256 != _weights_of(folder):
        remarks.append(f"{export.title} passed over: made of other weights; export again")
        return False
    passed = record.check is not None and record.check.passed
    asked_for_itself = (folder / EXPORT_FILE).is_file() or (runtime_asked and precision_asked)
    if not passed and not asked_for_itself:
        remarks.append(f"{export.title} passed over: it did not pass a check when it was exported")
        return False
    if record.precision == "bfloat16" and not openvino_computes("BF16"):
        remarks.append(f"{export.title} passed over: this processor computes no bfloat16")
        return False
    return True


def _rank(export: Export) -> int:
    return FASTEST.index((export.record.kind, export.record.precision))


def _weights_of(folder: Path) -> Any:
    values = read_json(folder / RUN_FILE)
    files = values.get("files") if isinstance(values, dict) else None
    return files.get(WEIGHTS_FILE) if isinstance(files, dict) else None


def _on_gpu(config: PredictConfig) -> bool:
    if config.device == "cpu" or config.runtime != "auto" or config.precision == "int8":
        return False
    if config.device == "cuda":
        return True
    if not gpu_there():
        return False
    import torch

    return torch.cuda.is_available()


def _nothing(folder: Path, exports: list[Export], config: PredictConfig, remarks: list[str]) -> str:
    asked = [v for v in (config.runtime, config.precision) if v != "auto"]
    if config.runtime == "torch" and config.precision == "int8":
        return "torch computes in float32 or bfloat16; int8 needs an export: --runtime openvino"
    if config.runtime == "torch" or not asked:
        others = ", ".join(e.title for e in exports)
        return f"{folder} holds exports ({others}), none that can be run here; give the run itself"
    there = ", ".join(e.title for e in exports) or "none"
    return (
        f"{folder} has no usable {' '.join(asked)} export (there: {there}"
        + "".join(f"; {remark}" for remark in remarks)
        + f"); make one with: sentinode export {folder} --format "
        f"{config.runtime if config.runtime != 'auto' else 'openvino'} --precision "
        f"{config.precision if config.precision != 'auto' else 'float32'} --check-set SET"
    )
