"""The report: every figure of one set of predictions, as it lies in ``report.json``.

A figure that could not be taken is None and says why. Nothing in it needs a network library, so
that anybody's predictions have one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from sentinode.core import Provenance, first_fault, read_json, write_json
from sentinode.errors import InputError
from sentinode.tables.reliance import (
    Abstention,
    Bin,
    Conformal,
    Decision,
    Figure,
    Part,
    PrevalenceRow,
    StainLook,
    Uncalibrated,
)
from sentinode.types import RESEARCH_USE_ONLY

__all__ = [
    "Confusion",
    "Curve",
    "Example",
    "ExampleKind",
    "GroupRow",
    "Histogram",
    "LeftOut",
    "OperatingPoint",
    "Report",
    "Rows",
    "Training",
    "Unit",
]

ExampleKind = Literal["right_tumour", "right_normal", "missed", "false_alarm", "unsure"]
Unit = Literal["slides", "patches"]


class Confusion(Part):
    """Counts at a threshold, and their shares of the patches of that class.

    Attributes:
        hits: Tumour called tumour.
        misses: Tumour called normal.
        false_alarms: Normal called tumour.
        rightly_normal: Normal called normal.
        shares: The same four names -> share of its class, None where the class is empty.
        misses_per_false_alarm: None without a false alarm.
    """

    hits: int
    misses: int
    false_alarms: int
    rightly_normal: int
    shares: dict[str, float | None]
    misses_per_false_alarm: float | None


class OperatingPoint(Part):
    """What holds at one threshold.

    Attributes:
        threshold: A patch at or above it is called tumour.
        rule: Rule that chose it.
        said: How it was chosen, and on what, in a sentence.
        confusion: Counts and shares.
        figures: Metric -> figure.
    """

    threshold: float
    rule: str
    said: str
    confusion: Confusion
    figures: dict[str, Figure]


class Curve(Part):
    """Points of a curve, thinned; ``threshold`` is None where no patch is called tumour."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    threshold: tuple[float | None, ...]


class Histogram(Part):
    """Patches by probability; ``edges`` has one more value than the counts."""

    edges: tuple[float, ...]
    tumour: tuple[int, ...]
    normal: tuple[int, ...]


class Rows(Part):
    """Which rows were given, and which of them are reported.

    Attributes:
        given: Rows of the predictions.
        labelled: Those with a label.
        by_fold: Fold (or "none") -> labelled rows.
        fold: The fold reported, None where the rows have none.
        said: Which rows are reported and why, in a sentence.
        reported: Rows reported.
        tumour: Those of them with tumour.
        normal: Those without.
        slides: Slides they come from, None where not all are known.
    """

    given: int
    labelled: int
    by_fold: dict[str, int]
    fold: str | None
    said: str
    reported: int
    tumour: int
    normal: int
    slides: int | None


class GroupRow(Part):
    """Figures of one slide, centre or stain cluster at the chosen threshold.

    What is undefined is None; ``accuracy_low`` and ``accuracy_high`` are Wilson's interval, which
    takes the patches of a group as independent.
    """

    name: str
    patches: int
    tumour: int
    roc_auc: float | None
    accuracy: float | None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    sensitivity: float | None
    specificity: float | None
    misses: int
    false_alarms: int


class LeftOut(Part):
    """Patches that are not reported for one reason.

    Attributes:
        reason: Why, in words.
        count: How many.
        ids: Of them, the first thousand.
    """

    reason: str
    count: int
    ids: tuple[str, ...]


class Example(Part):
    """One patch to look at.

    Attributes:
        kind: What it is an example of.
        id: Its id.
        label: Its label.
        probability: Its probability of tumour.
        slide: Its slide where known.
        row: Its row in the packed set, None where no set was given.
    """

    kind: ExampleKind
    id: str
    label: int
    probability: float
    slide: str | None
    row: int | None


class Training(Part):
    """The history of the training that made the network.

    Attributes:
        columns: Column of ``history.csv`` -> one value an epoch, None where undefined.
        best_epoch: Epoch whose weights were kept, None where it is not known.
    """

    columns: dict[str, tuple[float | None, ...]]
    best_epoch: int | None


class Report(Part):
    """Everything one evaluation found.

    Attributes:
        format: Version of this layout.
        notice: What the figures may not be used for.
        headline: First line: how honest the figures are, and what they are about.
        optimistic: Why the figures are optimistic, None where no reason is known.
        warnings: What a reader must know, one sentence each.
        rows: Which rows are reported.
        unit: What the intervals resample.
        units: How many of them there are.
        unit_said: What that means, in a sentence.
        confidence: Coverage the intervals aim at.
        overall: Metric that needs no threshold -> figure.
        at: ``chosen`` and ``half`` -> what holds at that threshold.
        curves: ``roc`` and ``pr``, where they are defined.
        reliability: ``width`` and ``mass`` -> bins.
        histogram: Probabilities by class.
        groups: ``slide``, ``centre``, ``stain`` -> one row each, the worst first.
        worst: ``slide``, ``centre``, ``stain`` -> the worst named, in a sentence.
        stains: Stain cluster -> its colours.
        stains_said: How the clusters were found, None without them.
        prevalence: Precision where tumour is rarer.
        decision: Net benefit, None with one class only.
        abstention: Risk over coverage.
        conformal: Sets of labels, None where there is nothing to fit them on.
        uncalibrated: Calibration before the calibration, None where there was none.
        left_out: What is not reported, and why.
        examples: Patches to look at.
        training: Its history, None without a run.
        origins: Role (predictions, set, split, run) -> what made it.
        provenance: What made this report, with the hash of every input.
    """

    format: Literal[1] = 1
    notice: str = RESEARCH_USE_ONLY
    headline: str
    optimistic: str | None
    warnings: tuple[str, ...]
    rows: Rows
    unit: Unit
    units: int
    unit_said: str
    confidence: float
    overall: dict[str, Figure]
    at: dict[str, OperatingPoint]
    curves: dict[str, Curve]
    reliability: dict[str, tuple[Bin, ...]]
    histogram: Histogram
    groups: dict[str, tuple[GroupRow, ...]]
    worst: dict[str, str]
    left_out: tuple[LeftOut, ...]
    examples: tuple[Example, ...]
    training: Training | None
    stains: dict[str, StainLook] = Field({})
    stains_said: str | None = None
    prevalence: tuple[PrevalenceRow, ...] = ()
    decision: Decision | None = None
    abstention: Abstention | None = None
    conformal: Conformal | None = None
    uncalibrated: Uncalibrated | None = None
    origins: dict[str, dict[str, Any]]
    provenance: Provenance

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read ``report.json``.

        Raises:
            MissingInputError: There is no such file.
            InputError: It is damaged, or of another format.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            fault = first_fault(error)
            raise InputError(f"{path} is no report of format 1: {fault}") from error

    def write(self, path: Path) -> None:
        """Write ``report.json``, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))
