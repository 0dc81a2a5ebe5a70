"""Parts of a report on when to rely on a prediction: prevalence, benefit, abstention, sets."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Abstention",
    "Answered",
    "Bin",
    "Conformal",
    "ConformalRow",
    "Decision",
    "Figure",
    "Part",
    "PrevalenceRow",
    "StainLook",
    "Uncalibrated",
]


class Part(BaseModel):
    """Base of all parts of a report: frozen, strict, and without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Part):
    """One metric.

    Attributes:
        value: None where it is undefined.
        low: Lower end of its interval, None where there is none.
        high: Upper end.
        note: Why something is missing, or what to know of the interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None


class Bin(Part):
    """One bin of a reliability diagram; ``low`` and ``high`` bound the share of tumour."""

    patches: int
    mean_probability: float
    share: float
    low: float
    high: float


class PrevalenceRow(Part):
    """What calls would mean where tumour is as rare as this.

    Attributes:
        prevalence: Share of patches with tumour.
        at: Name of the threshold.
        precision: Share of tumour among patches called tumour.
        negative_predictive_value: Share of normal among patches called normal.
        false_alarms: In a thousand patches, None where no patch is normal here.
        misses: In a thousand patches, None where no patch has tumour here.
    """

    prevalence: float
    at: str
    precision: Figure
    negative_predictive_value: Figure
    false_alarms: float | None
    misses: float | None


class Decision(Part):
    """Net benefit per patch over threshold probabilities.

    Attributes:
        threshold: Threshold probabilities.
        model: Net benefit of calling patches at or above it.
        low: Lower ends of its interval, empty where there is none.
        high: Upper ends.
        everything: Net benefit of calling every patch.
    """

    threshold: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    everything: tuple[float, ...]


class Answered(Part):
    """Calls among the most certain patches.

    Attributes:
        coverage: Share of the patches that is answered.
        patches: How many these are.
        risk: Share of them called wrongly.
        misses: Tumour called normal among them.
        false_alarms: Normal called tumour among them.
        sensitivity: Among them, None without tumour.
        specificity: Among them, None without normal.
    """

    coverage: float
    patches: int
    risk: Figure
    misses: int
    false_alarms: int
    sensitivity: float | None
    specificity: float | None


class Abstention(Part):
    """Risk over coverage at the chosen threshold.

    Attributes:
        coverage: Points of the curve, thinned.
        risk: Share of wrong calls among the patches answered.
        area: Mean risk over all coverages.
        least_area: That of a perfect order of certainty.
        answered: Some coverages in full.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float
    least_area: float
    answered: tuple[Answered, ...]


class ConformalRow(Part):
    """Sets of labels fitted to hold the true one as often as stated.

    Attributes:
        stated: Coverage they are fitted for.
        by_class: Whether that is promised for each class.
        held: Share of the patches whose label is in their set.
        held_tumour: The same among patches with tumour.
        held_normal: And among the others.
        one: Share of sets with one label, which are answers.
        both: Share with both: not certain enough.
        neither: Share with none: like neither class.
        wrong_answers: Share of wrong ones among the sets with one label, None without any.
        note: Why there are no sets, None where there are.
    """

    stated: float
    by_class: bool
    held: Figure
    held_tumour: Figure
    held_normal: Figure
    one: float | None
    both: float | None
    neither: float | None
    wrong_answers: float | None
    note: str | None = None


class Conformal(Part):
    """Conformal sets, and what they were fitted and checked on in a sentence."""

    said: str
    rows: tuple[ConformalRow, ...]


class Uncalibrated(Part):
    """The network's own probabilities, before the calibration that the others went through.

    Attributes:
        method: How they were calibrated, as far as the predictions say it.
        figures: Metric -> figure, without it.
        reliability: ``width`` and ``mass`` -> bins, without it.
    """

    method: dict[str, Any]
    figures: dict[str, Figure]
    reliability: dict[str, tuple[Bin, ...]]


class StainLook(Part):
    """Usual colours of a stain cluster, as ``#rrggbb``."""

    haematoxylin: str
    eosin: str
