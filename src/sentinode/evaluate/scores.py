"""Every figure of the reported rows, with its interval or with the reason why it has none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.stats import binomtest, norm

from sentinode.metrics import (
    Binning,
    BoolArray,
    Draws,
    Estimate,
    FloatArray,
    IntArray,
    ReliabilityBins,
    average_precision,
    brier_terms,
    confusion_counts,
    count_metrics,
    delong_interval,
    expected_calibration_error,
    log_loss_terms,
    recalibration,
    reliability,
    roc_auc,
    spread,
)
from sentinode.tables import Bin, Confusion, Figure, OperatingPoint, Unit

__all__ = [
    "Scored",
    "calibration_figures",
    "estimated",
    "operating_point",
    "overall_figures",
    "reliability_of",
]

BINNINGS: tuple[Binning, ...] = ("width", "mass")
BOTH = "needs patches of both classes"
UNDEFINED = {
    "roc_auc": BOTH,
    "pr_auc": "needs a patch with tumour",
    "balanced_accuracy": BOTH,
    "sensitivity": "no patch has tumour",
    "specificity": "no patch is normal",
    "precision": "no patch is called tumour",
    "f1": "no patch has tumour and none is called so",
    "mcc": "needs both classes and both calls",
}
LEAST_DEFINED = 0.5
NO_FIT = "no finite fit: one class only, equal probabilities, or classes without overlap"


@final
@dataclass(frozen=True)
class Scored:
    """The reported rows as arrays.

    Attributes:
        labels: bool (N,).
        probabilities: float64 (N,) in 0..1.
        units: int64 (N,): codes from 0 of what the intervals resample.
        unit: ``slides`` or ``patches``.
        confidence: Coverage the intervals aim at.
    """

    labels: BoolArray
    probabilities: FloatArray
    units: IntArray
    unit: Unit
    confidence: float

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.units.max()) + 1

    @property
    def one(self) -> str:
        """Singular of the unit."""
        return "slide" if self.unit == "slides" else "patch"


def overall_figures(rows: Scored, draws: Draws) -> dict[str, Figure]:
    """Return the figures that need no threshold."""
    y, p = rows.labels, rows.probabilities
    values = {
        "roc_auc": roc_auc(y, p),
        "pr_auc": average_precision(y, p),
        "brier": float(brier_terms(y, p).mean()),
        "log_loss": float(log_loss_terms(y, p).mean()),
    }
    figures = {name: _figure(name, v, draws.overall[name], rows) for name, v in values.items()}
    auc = figures.pop("roc_auc")
    figures = {"roc_auc": auc, "roc_auc_delong": _delong(rows, auc), **figures}
    return figures | _errors(rows) | _recalibration(rows)


def calibration_figures(rows: Scored) -> dict[str, Figure]:
    """Return what calibration can change, without intervals by resampling."""
    y, p = rows.labels, rows.probabilities
    return {
        "brier": Figure(value=float(brier_terms(y, p).mean())),
        "log_loss": Figure(value=float(log_loss_terms(y, p).mean())),
        **_errors(rows),
        **_recalibration(rows),
    }


def _errors(rows: Scored) -> dict[str, Figure]:
    y, p = rows.labels, rows.probabilities
    return {
        f"ece_{binning}": Figure(
            value=expected_calibration_error(reliability(y, p, binning)),
            note="no interval: resampling would inflate it",
        )
        for binning in BINNINGS
    }


def operating_point(
    rows: Scored, draws: Draws, name: str, threshold: float, rule: str, said: str
) -> OperatingPoint:
    """Return what holds at one threshold; ``name`` is its name among the draws."""
    counts = confusion_counts(rows.labels, rows.probabilities, threshold)
    figures = {
        metric: _figure(metric, float(value), draws.at[name][metric], rows)
        for metric, value in count_metrics(counts).items()
    }
    hits, false_alarms, rightly_normal, misses = (int(c) for c in counts)
    tumour, normal = hits + misses, false_alarms + rightly_normal
    confusion = Confusion(
        hits=hits,
        misses=misses,
        false_alarms=false_alarms,
        rightly_normal=rightly_normal,
        shares={
            "hits": hits / tumour if tumour else None,
            "misses": misses / tumour if tumour else None,
            "false_alarms": false_alarms / normal if normal else None,
            "rightly_normal": rightly_normal / normal if normal else None,
        },
        misses_per_false_alarm=misses / false_alarms if false_alarms else None,
    )
    return OperatingPoint(
        threshold=threshold, rule=rule, said=said, confusion=confusion, figures=figures
    )


def reliability_of(rows: Scored) -> dict[str, tuple[Bin, ...]]:
    """Return the bins of equal width and of equal mass."""
    y, p = rows.labels, rows.probabilities
    return {b: _bins(reliability(y, p, b), rows.confidence) for b in BINNINGS}


def _bins(bins: ReliabilityBins, confidence: float) -> tuple[Bin, ...]:
    """Return the bins with Wilson's interval of each share (1927), patches taken as independent."""
    rows = []
    for i, share in enumerate(bins.share):
        test = binomtest(int(bins.tumour[i]), int(bins.count[i]))
        ends = test.proportion_ci(confidence, method="wilson")
        rows.append(
            Bin(
                patches=int(bins.count[i]),
                mean_probability=float(bins.mean_probability[i]),
                share=float(share),
                low=float(ends.low),
                high=float(ends.high),
            )
        )
    return tuple(rows)


def _figure(name: str, value: float, draws: FloatArray, rows: Scored) -> Figure:
    return estimated(value, draws, rows, UNDEFINED.get(name, ""))


def estimated(value: float, draws: FloatArray, rows: Scored, undefined: str) -> Figure:
    """Return a value with the percentile interval of its draws, or why it has none.

    Args:
        value: NaN where it is undefined.
        draws: float64 (R,), of the resamples.
        rows: The reported rows.
        undefined: Why it would be undefined.
    """
    if math.isnan(value):
        return Figure(value=None, note=undefined)
    if rows.n_units < 2:
        return Figure(value=value, note=f"no interval: all from one {rows.one}")
    found = spread(draws, rows.confidence)
    if found is None or found.defined < LEAST_DEFINED:
        return Figure(value=value, note="no interval: undefined in most resamples")
    if found.low == found.high:
        return Figure(value=value, note="no interval: every resample gives the same")
    part = "" if found.defined == 1 else f"undefined in {1 - found.defined:.1%} of the resamples"
    return Figure(value=value, low=found.low, high=found.high, note=part or None)


def _delong(rows: Scored, auc: Figure) -> Figure:
    if auc.value is None:
        return auc
    low, high = delong_interval(rows.labels, rows.probabilities, rows.confidence)
    if math.isnan(low):
        return Figure(value=auc.value, note="no interval: needs two patches of each class")
    if low == high:
        return Figure(value=auc.value, note="no interval: all pairs of patches compare alike")
    return Figure(value=auc.value, low=low, high=high, note="DeLong: takes patches as independent")


def _recalibration(rows: Scored) -> dict[str, Figure]:
    found = recalibration(rows.labels, rows.probabilities, rows.units)
    if found is None:
        none = Figure(value=None, note=NO_FIT)
        return dict.fromkeys(
            ("calibration_slope", "calibration_intercept", "calibration_in_the_large"), none
        )
    reach = float(norm.ppf((1 + rows.confidence) / 2))
    return {
        "calibration_slope": _fitted(found.slope, reach, rows),
        "calibration_intercept": _fitted(found.intercept, reach, rows),
        "calibration_in_the_large": _fitted(found.in_the_large, reach, rows),
    }


def _fitted(estimate: Estimate, reach: float, rows: Scored) -> Figure:
    if not np.isfinite(estimate.error):
        return Figure(value=estimate.value, note=f"no interval: all from one {rows.one}")
    return Figure(
        value=estimate.value,
        low=estimate.value - reach * estimate.error,
        high=estimate.value + reach * estimate.error,
        note=f"interval by the sandwich estimator over {rows.unit}",
    )
