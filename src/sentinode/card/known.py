"""All that is known of a run: its folder, its report, its stress test and its maps' scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from sentinode.core import read_json
from sentinode.errors import InputError
from sentinode.models import ModelSummary, Run, summarise
from sentinode.tables import Calibration, MapScore, Report, read_map_scores

__all__ = ["Known", "gather"]


@final
@dataclass(frozen=True)
class Known:
    """What a card may be filled from.

    Attributes:
        run: The run.
        summary: Layers and cost of its network.
        calibration: None where it has none.
        report: None where none was given.
        stress: Content of ``stress.json``, None where none was given.
        maps: Scores of its maps, None where none were given.
    """

    run: Run
    summary: ModelSummary
    calibration: Calibration | None
    report: Report | None
    stress: Mapping[str, Any] | None
    maps: tuple[MapScore, ...] | None

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the training, ``train`` and ``augment``."""
        return self.run.record.provenance.config

    @property
    def same_set(self) -> bool | None:
        """Whether the report is of the set that the run learnt from; None where not known."""
        if self.report is None:
            return None
        ours = self.run.record.provenance.inputs.get("set")
        theirs = self.report.provenance.inputs.get("set")
        return None if ours is None or theirs is None else ours == theirs

    @property
    def calibrated_on_reported(self) -> bool:
        """Whether the calibration was fitted to the very patches that are reported."""
        if self.report is None or self.calibration is None or not self.same_set:
            return False
        rows = self.report.rows
        fitted = self.calibration
        return f"of fold {rows.fold}" in fitted.fitted_on and fitted.patches == rows.reported


def gather(run: Run, report: Path | None, stress: Path | None, maps: Path | None) -> Known:
    """Read what was given, and check that it is of this run.

    Raises:
        MissingInputError: A file is not there.
        InputError: A file is damaged, or was made by other weights.
        CheckpointError: The run is damaged.
    """
    opened = None if report is None else Report.read(report)
    if opened is not None and report is not None:
        predicted = opened.origins.get("predictions", {}).get("weights_sha256")
        _of_run(run, opened.provenance.inputs, report)
        _of_run(run, {} if predicted is None else {"weights": predicted}, report)
    return Known(
        run=run,
        summary=summarise(run.spec),
        calibration=run.calibration(),
        report=opened,
        stress=_read(run, stress),
        maps=_maps(run, maps),
    )


def _read(run: Run, path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    found = read_json(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: expected an object, got {type(found).__name__}")
    made = found.get("provenance")
    stage = made.get("stage") if isinstance(made, Mapping) else None
    inputs = made.get("inputs") if isinstance(made, Mapping) else None
    if stage != "stress" or not isinstance(inputs, Mapping):
        raise InputError(f"{path} is no stress.json, as `sentinode stress` writes it")
    _of_run(run, inputs, path)
    return found


def _maps(run: Run, path: Path | None) -> tuple[MapScore, ...] | None:
    if path is None:
        return None
    found = read_map_scores(path)
    if run.weights_hash not in found:
        raise InputError(f"{path} has no scores of the weights that {run.folder} holds")
    return found[run.weights_hash]


def _of_run(run: Run, inputs: Mapping[str, Any], path: Path) -> None:
    weights = inputs.get("weights", run.weights_hash)
    if weights != run.weights_hash:
        raise InputError(
            f"{path} is of other weights (SHA-256 {str(weights)[:12]}) than {run.folder} holds "
            f"({run.weights_hash[:12]}); evaluate this run's own predictions, with --run"
        )
