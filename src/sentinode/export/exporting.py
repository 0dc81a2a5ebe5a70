"""A run for other runtimes and other programs: written, checked, and only then put in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

from sentinode.config import ExportConfig
from sentinode.core import folder_lock, hash_file, provenance, run_folder, weight_names, write_json
from sentinode.errors import InputError
from sentinode.export.card import CARD_FILE, card
from sentinode.predict import (
    EXPORTS_FOLDER,
    Check,
    Export,
    ExportFormat,
    ExportPrecision,
    ExportRecord,
    exports_in,
)
from sentinode.tables import PackedSet
from sentinode.types import RESEARCH_USE_ONLY, UInt8Array

if TYPE_CHECKING:
    from sentinode.export.checking import Standard
    from sentinode.models import Run

__all__ = ["PRECISIONS", "Exported", "export_run", "plans"]

PRECISIONS: dict[ExportFormat, tuple[ExportPrecision, ...]] = {
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
    "torchscript": ("float32",),
    "wsinfer": ("float32",),
}
"""What each format is exported in. ONNX Runtime computes no bfloat16 on a processor, and what
other programs load is left as exact as it can be."""

OPENVINO_FILES = ("model.xml", "model.bin")
LOGIT = "logit of tumour, float32, one a patch; its sigmoid, after calibration, is the probability"
TWO = "0 and the calibrated logit, float32; their softmax is the probability of each class"


class Plan(NamedTuple):
    """A format and a precision."""

    kind: ExportFormat
    precision: ExportPrecision


@final
@dataclass(frozen=True)
class Exported:
    """What was made.

    Attributes:
        exports: Those that were written.
        refused: Why others were not, by their title.
    """

    exports: tuple[Export, ...]
    refused: dict[str, str]


def plans(kinds: Sequence[ExportFormat], precisions: Sequence[ExportPrecision]) -> list[Plan]:
    """Return each format with each of the precisions that it has.

    Raises:
        InputError: A format has none of them.
    """
    made = []
    for kind in dict.fromkeys(kinds):
        of_kind = [p for p in dict.fromkeys(precisions) if p in PRECISIONS[kind]]
        if not of_kind:
            raise InputError(
                f"{kind} is exported in {' or '.join(PRECISIONS[kind])}, "
                f"got {', '.join(precisions)}"
            )
        made += [Plan(kind, precision) for precision in of_kind]
    return made


def export_run(
    run: Run,
    wanted: Sequence[Plan],
    config: ExportConfig,
    *,
    out: Path | None = None,
    check_set: PackedSet | None = None,
    calibration_set: PackedSet | None = None,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> Exported:
    """Export a run and check each export on real patches.

    Args:
        run: The network.
        wanted: Formats and precisions.
        config: Settings.
        out: Folder that gets one folder for each export, by default ``exports/`` in the run's,
            where predict finds them.
        check_set: Packed set whose labelled patches outside fold train check the exports; by
            default ``calibration_set``.
        calibration_set: Packed set whose fold train gives int8 its ranges; by default
            ``check_set``.
        force: Keep an export that does not pass its check, and export without a set to check on.
        say: Called with a line for each export.

    Raises:
        InputError: No set to check or to calibrate on, or one that does not suit the network, or
            a run that was only pretrained.
        CheckpointError: The run's weights are damaged.
        BusyError: Another process exports into the same folder.
    """
    check_set, calibration_set = check_set or calibration_set, calibration_set or check_set
    if check_set is None and not force:
        raise InputError(
            "an export is checked on real patches: name a packed set with --check-set SET, or "
            "give --force to export without a check"
        )
    if calibration_set is None and any(plan.precision == "int8" for plan in wanted):
        raise InputError(
            "int8 is calibrated on training patches: name their packed set with "
            "--calibration-set SET"
        )
    target = _target(run.taught(), out)
    with folder_lock(target):
        if out is not None:
            _check_alone(target, run, wanted)
        maker = _Maker(run, config, calibration_set)
        standard = None if check_set is None else _standard(run, check_set, config)
        done: list[Export] = []
        refused: dict[str, str] = {}
        for plan in wanted:
            export = maker.make(plan, target)
            checked = _checked(export, standard, config)
            why = checked.record.check.reason if checked.record.check else ""
            say(_line(checked))
            if why and not force:
                refused[checked.title] = why
                shutil.rmtree(checked.folder)
            else:
                if out is not None:
                    _drop_others(target, run)
                done.append(_placed(checked, target / f"{plan.kind}-{plan.precision}"))
    return Exported(tuple(done), refused)


def _check_alone(target: Path, run: Run, wanted: Sequence[Plan]) -> None:
    """Refuse a folder with exports of another network: predict would take the fastest of all."""
    replaced = {f"{plan.kind}-{plan.precision}" for plan in wanted}
    staying = [e for e in exports_in(target) if e.folder.name not in replaced]
    others = [e.folder.name for e in staying if e.record.weights_sha256 != run.weights_hash]
    if others:
        raise InputError(
            f"{target} holds exports of other weights ({', '.join(others)}); choose another --out, "
            "or remove them"
        )


def _drop_others(target: Path, run: Run) -> None:
    """Remove exports of another network, which all were to be replaced, before one is placed."""
    for export in exports_in(target):
        if export.folder.parent == target and export.record.weights_sha256 != run.weights_hash:
            shutil.rmtree(_aside(export.folder))


def _target(run: Run, out: Path | None) -> Path:
    if out is not None:
        return out
    if run.folder in [run_folder(name) for name in weight_names()]:
        raise InputError(
            f"{run.spec.name} comes with the package, where nothing is written; name a folder for "
            f"its exports with --out DIR, and give DIR to predict in place of {run.spec.name}"
        )
    return run.folder / EXPORTS_FOLDER


def _standard(run: Run, packed: PackedSet, config: ExportConfig) -> Standard:
    from sentinode.export.checking import Standard

    return Standard.of(run, packed, config)


@final
class _Maker:
    """Writes exports of one run; what several of them need is made once."""

    def __init__(self, run: Run, config: ExportConfig, training: PackedSet | None) -> None:
        from sentinode.export.graph import whole

        self.run, self.config, self._set = run, config, training
        self.module = whole(run)
        self.calibration = run.calibration()
        self._onnx: Any = None
        self._patches: UInt8Array | None = None

    def make(self, plan: Plan, target: Path) -> Export:
        """Write one export into a hidden folder below ``target``, its check still to come."""
        folder = target / f".{plan.kind}-{plan.precision}.partial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = getattr(self, f"_{plan.kind}_files")(plan, folder)
        if self.calibration is not None:
            self.calibration.write(folder)
        names = sorted(path.name for path in folder.iterdir())
        wsinfer, script = plan.kind == "wsinfer", plan.kind in ("wsinfer", "torchscript")
        int8 = plan.precision == "int8"
        record = ExportRecord(
            notice=RESEARCH_USE_ONLY,
            name=self.run.spec.name,
            licence=self.run.spec.licence,
            kind=plan.kind,
            precision=plan.precision,
            model=model,
            input_dtype="float32 in 0..1" if wsinfer else "uint8",
            input_layout="NCHW" if wsinfer else "NHWC",
            output=TWO if wsinfer else LOGIT,
            classes=_wsinfer_classes() if wsinfer else ("normal", "tumour"),
            preprocess=self.run.spec.preprocess,
            calibration=self.calibration.summary() if self.calibration else None,
            calibration_inside=wsinfer,
            weights_sha256=self.run.weights_hash,
            trained_on=self.run.taught_by(),
            int8_calibration=len(self.patches) if int8 else 0,
            files={name: hash_file(folder / name) for name in names},
            check=None,
            provenance=provenance(
                "export",
                config=self.config.fingerprint(),
                inputs={"weights": self.run.weights_hash},
                packages=("onnx", "onnxscript", *(() if script else ("openvino", "nncf"))),
            ),
        )
        return Export(folder, record)

    @property
    def onnx(self) -> Any:
        """The network as ONNX model, float32."""
        from sentinode.export.graph import onnx_model

        if self._onnx is None:
            self._onnx = onnx_model(self.module)
        return self._onnx

    @property
    def patches(self) -> UInt8Array:
        """Training patches for int8's ranges."""
        from sentinode.export.checking import training_patches

        assert self._set is not None  # asked for before anything is made
        if self._patches is None:
            count = self.config.calibration_patches
            self._patches = training_patches(self._set, self.run, count)
        return self._patches

    def _onnx_files(self, plan: Plan, folder: Path) -> str:
        from sentinode.export.quantising import quantised

        model = quantised(self.onnx, self.patches) if plan.precision == "int8" else self.onnx
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        return "model.onnx"

    def _openvino_files(self, plan: Plan, folder: Path) -> str:
        from sentinode.export.graph import openvino_model, save_openvino
        from sentinode.export.quantising import quantised

        model = openvino_model(self.onnx)
        if plan.precision == "int8":
            model = quantised(model, self.patches)
        save_openvino(model, folder, OPENVINO_FILES[0])
        return OPENVINO_FILES[0]

    def _torchscript_files(self, plan: Plan, folder: Path) -> str:
        import torch

        from sentinode.export.graph import save_script

        side = self.run.spec.preprocess.size
        example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
        save_script(self.module, example, folder / "model.pt")
        return "model.pt"

    def _wsinfer_files(self, plan: Plan, folder: Path) -> str:
        import torch

        from sentinode.export.graph import save_script
        from sentinode.export.wsinfer import CONFIG_FILE, MODEL_FILE, ForWsinfer, wsinfer_config

        side = self.run.spec.preprocess.size
        module = ForWsinfer(self.module, self.calibration).eval()
        save_script(module, torch.rand(2, 3, side, side), folder / MODEL_FILE)
        write_json(folder / CONFIG_FILE, wsinfer_config(self.run.spec))
        return MODEL_FILE


def _wsinfer_classes() -> tuple[str, str]:
    from sentinode.export.wsinfer import CLASSES

    return CLASSES


def _checked(export: Export, standard: Standard | None, config: ExportConfig) -> Export:
    """Add the result of the check and the card."""
    check: Check | None = None if standard is None else standard.check(export, config)
    record = export.record.model_copy(update={"check": check})
    (export.folder / CARD_FILE).write_text(card(record), encoding="utf-8", newline="\n")
    files = {**record.files, CARD_FILE: hash_file(export.folder / CARD_FILE)}
    done = Export(export.folder, record.model_copy(update={"files": files}))
    done.write()
    return done


def _placed(export: Export, folder: Path) -> Export:
    """Give an export its name; one that was there before goes only now."""
    before = _aside(folder)
    export.folder.rename(folder)
    shutil.rmtree(before, ignore_errors=True)
    return Export(folder, export.record)


def _aside(folder: Path) -> Path:
    """Move what lies in a folder to a hidden one, where there is anything."""
    before = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        folder.rename(before)
    return before


def _line(export: Export) -> str:
    check = export.record.check
    if check is None:
        return f"{export.title}: written without a check"
    return (
        f"{export.title}: largest difference of probability "
        f"{check.largest_probability_difference:.2g}, ROC AUC {check.auc_of_export:.4f} "
        f"({check.auc_change:+.4f}) on {check.patches:,} patches"
    )
