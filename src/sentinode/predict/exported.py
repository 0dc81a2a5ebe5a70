"""What an export folder says of itself, read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode.core import Provenance, first_fault, hash_file, read_json, write_json
from sentinode.errors import CheckpointError, InputError
from sentinode.types import Preprocess

__all__ = [
    "EXPORTS_FOLDER",
    "EXPORT_FILE",
    "Check",
    "Export",
    "ExportFormat",
    "ExportPrecision",
    "ExportRecord",
    "exports_in",
]

EXPORT_FILE = "export.json"
EXPORTS_FOLDER = "exports"
ExportFormat = Literal["onnx", "openvino", "torchscript", "wsinfer"]
ExportPrecision = Literal["float32", "bfloat16", "int8"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Part):
    """What an export made of real patches, beside what PyTorch made of them in float32.

    Attributes:
        passed: Whether it stays within the tolerances.
        reason: Why it does not.
        patches: How many were compared.
        input: Hash of the set they come from.
        folds: Their folds, empty where the set has no split.
        largest_logit_difference: Over all patches.
        largest_probability_difference: The same after calibration.
        auc: ROC AUC of the run.
        auc_of_export: Of the export.
    """

    passed: bool
    reason: str
    patches: int
    input: str
    folds: tuple[str, ...]
    largest_logit_difference: float
    largest_probability_difference: float
    auc: float
    auc_of_export: float

    @property
    def auc_change(self) -> float:
        """By how much the export is better, or worse where it is below 0."""
        return self.auc_of_export - self.auc

    def summary(self) -> dict[str, bool | float | int]:
        """Return what predictions say of the check."""
        return {
            "passed": self.passed,
            "patches": self.patches,
            "largest_probability_difference": self.largest_probability_difference,
            "auc_change": self.auc_change,
        }


class ExportRecord(_Part):
    """What ``export.json`` says; written last, so that an export with it is whole.

    Attributes:
        format: Version of the layout.
        notice: What the export may be used for.
        name: Of the network.
        licence: SPDX name of the weights' licence.
        kind: What the model file is for.
        precision: Of products and convolutions; int8's are quantised in the file.
        model: File to load.
        input_dtype: Type of the input; only WSInfer's differs.
        input_layout: Batch, height, width and channels; or channels first.
        channel_order: Of the input; anything but RGB is refused.
        output: Meaning of the output.
        classes: Meaning of probability 0 and 1.
        preprocess: What the model itself does to a patch, besides its size and mpp.
        calibration: Summary of what is put upon the logits, None for nothing.
        calibration_inside: Whether the model file does so itself.
        weights_sha256: Weights the export was made of.
        trained_on: Of the training, as of `Run.taught_by`.
        int8_calibration: How many training patches the ranges of int8 were measured on; else 0.
        files: SHA-256 of each other file of the folder by name.
        check: Result of the check, None where it was forced without one.
        provenance: What made it.
    """

    format: Literal[1] = 1
    notice: str
    name: str
    licence: str
    kind: ExportFormat
    precision: ExportPrecision
    model: str
    input_dtype: Literal["uint8", "float32 in 0..1"]
    input_layout: Literal["NHWC", "NCHW"]
    channel_order: Literal["RGB"] = "RGB"
    output: str
    classes: tuple[str, str] = ("normal", "tumour")
    preprocess: Preprocess
    calibration: dict[str, float | int | str] | None
    calibration_inside: bool
    weights_sha256: str
    trained_on: dict[str, str]
    int8_calibration: int
    files: dict[str, str]
    check: Check | None
    provenance: Provenance


@final
@dataclass(frozen=True)
class Export:
    """Handle on one export folder.

    Attributes:
        folder: Where it is.
        record: What ``export.json`` says.
    """

    folder: Path
    record: ExportRecord

    @classmethod
    def open(cls, folder: Path) -> Export:
        """Open an export folder; its files are read by :meth:`model`.

        Raises:
            CheckpointError: ``export.json`` is damaged, of another version, or of a network with
                another order of channels.
        """
        path = folder / EXPORT_FILE
        try:
            values = read_json(path)
        except InputError as error:
            raise CheckpointError(str(error)) from error
        found = values.get("format") if isinstance(values, dict) else None
        if found != 1:
            raise CheckpointError(f"{path} has format {found!r}, this version of sentinode reads 1")
        try:
            return cls(folder, ExportRecord.model_validate(values))
        except ValidationError as error:
            fault = first_fault(error, got=True)
            raise CheckpointError(f"{path} cannot be used: {fault}; export again") from error

    def write(self) -> None:
        """Write ``export.json``, whole or not at all."""
        write_json(self.folder / EXPORT_FILE, self.record.model_dump(mode="json"))

    def model(self) -> Path:
        """Return the file to load, once every file is what was exported.

        Raises:
            CheckpointError: A file is missing or was changed.
        """
        for name, expected in sorted(self.record.files.items()):
            path = self.folder / name
            if Path(name).name != name or not path.is_file():
                raise CheckpointError(f"{self.folder}: {name} is missing; export again")
            found = hash_file(path)
            if found != expected:
                raise CheckpointError(
                    f"{path} is not the file that was exported (SHA-256 {found[:12]}, "
                    f"{EXPORT_FILE} says {expected[:12]}); export again"
                )
        if self.record.model not in self.record.files:
            raise CheckpointError(f"{self.folder / EXPORT_FILE} names no hash of its model file")
        return self.folder / self.record.model

    @property
    def title(self) -> str:
        """What it is, in two words."""
        return f"{self.record.kind} {self.record.precision}"


def exports_in(folder: Path) -> list[Export]:
    """Find the exports of what a command was given as RUN.

    Args:
        folder: An export folder, a folder of such, or a run folder with ``exports/`` in it.

    Raises:
        CheckpointError: As of :meth:`Export.open`.
    """
    if (folder / EXPORT_FILE).is_file():
        return [Export.open(folder)]
    inner = folder / EXPORTS_FOLDER
    above = inner if inner.is_dir() else folder
    found = sorted(above.glob(f"*/{EXPORT_FILE}"))
    # a hidden folder is one that is being written
    return [Export.open(path.parent) for path in found if not path.parent.name.startswith(".")]
