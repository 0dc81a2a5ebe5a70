"""What a stress test found, as it lies in ``stress.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode.core import Provenance, first_fault, read_json
from sentinode.errors import InputError
from sentinode.tables import Figure, Unit
from sentinode.types import RESEARCH_USE_ONLY, UInt8Array

__all__ = ["FIGURES", "Measured", "StressReport", "Stressed", "stress_table"]

FIGURES = (
    "roc_auc",
    "auc_change",
    "sensitivity",
    "specificity",
    "ece_width",
    "ece_mass",
    "slope",
    "in_the_large",
    "brier",
    "log_loss",
    "changed_calls",
)
"""Figures of each condition, in the order of the table."""


class Measured(BaseModel):
    """Figures under one condition.

    Attributes:
        family: Kind of change, ``clean`` for none.
        strength: Of the change, None for none.
        said: The strength in words.
        target: Whose stain the patches were moved toward, None for other changes.
        figures: Name -> figure; ``auc_change`` is the difference of ROC AUC from the patches as
            they are, ``changed_calls`` the share of patches called otherwise than these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: str
    strength: float | None
    said: str
    target: str | None
    figures: dict[str, Figure]


class StressReport(BaseModel):
    """Everything one stress test found.

    Attributes:
        format: Version of this layout.
        notice: What the figures may not be used for.
        model: Name of the network.
        headline: What was tested on what, in a sentence.
        warnings: What a reader must know, one sentence each.
        lessons: What was found, one sentence a family, the worst first.
        patches: Patches tested.
        tumour: Those of them with tumour.
        unit: What the intervals resample.
        units: How many of them there are.
        confidence: Coverage the intervals aim at.
        threshold: A patch at or above it is called tumour.
        threshold_said: How it was chosen.
        stains_said: How the stains of the set were found.
        conditions: The patches as they are, then every change.
        provenance: What made it, with the hash of every input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    notice: str = RESEARCH_USE_ONLY
    model: str
    headline: str
    warnings: tuple[str, ...]
    lessons: tuple[str, ...]
    patches: int
    tumour: int
    unit: Unit
    units: int
    confidence: float
    threshold: float
    threshold_said: str
    stains_said: str
    conditions: tuple[Measured, ...]
    provenance: Provenance

    @classmethod
    def read(cls, path: Path) -> StressReport:
        """Read ``stress.json``.

        Raises:
            MissingInputError: There is no such file.
            InputError: It is damaged, or of another format.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            fault = first_fault(error)
            raise InputError(f"{path} is no stress test of format 1: {fault}") from error


@final
@dataclass(frozen=True)
class Stressed:
    """A stress test, and one patch as each condition shows it.

    Attributes:
        report: All figures.
        example: Id of the patch.
        pictures: uint8 (C, H, W, 3), in the order of the report's conditions.
    """

    report: StressReport
    example: str
    pictures: UInt8Array


def stress_table(report: StressReport) -> pd.DataFrame:
    """Return one row per condition: family, target, strength, and value, low, high by figure."""
    rows: list[dict[str, Any]] = []
    for measured in report.conditions:
        row: dict[str, Any] = {
            "family": measured.family,
            "target": measured.target,
            "strength": measured.strength,
            "said": measured.said,
        }
        for name in FIGURES:
            figure = measured.figures[name]
            row[name] = figure.value
            if figure.low is not None:
                row |= {f"{name}_low": figure.low, f"{name}_high": figure.high}
        rows.append(row)
    return pd.DataFrame(rows)
