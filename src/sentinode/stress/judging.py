"""Discrimination and calibration under a change, beside those of the patches as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.stats import norm

from sentinode.metrics import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    brier_terms,
    confusion_counts,
    count_metrics,
    expected_calibration_error,
    log_loss_terms,
    recalibration,
    reliability,
    resampled_aucs,
    roc_auc,
    spread,
)
from sentinode.tables import Figure

__all__ = ["Judge"]

BOTH = "needs patches of both classes"
NO_FIT = "no finite fit: one class only, equal probabilities, or classes without overlap"


@final
@dataclass(frozen=True)
class Judge:
    """Patches that every condition is judged on.

    Attributes:
        labels: bool (N,).
        units: int64 (N,), codes from 0 of what the intervals resample.
        clean: float64 (N,), probabilities of the patches as they are.
        threshold: A patch at or above it is called tumour.
        resamples: Draws of units.
        confidence: Coverage that the intervals aim at.
        seed: Of the draws.
    """

    labels: BoolArray
    units: IntArray
    clean: FloatArray
    threshold: float
    resamples: int
    confidence: float
    seed: int

    def figures(self, probabilities: FloatArray) -> dict[str, Figure]:
        """Return the figures of probabilities (N,) of the same patches, changed."""
        y, p = self.labels, probabilities
        at = count_metrics(confusion_counts(y, p, self.threshold))
        moved = recalibration(y, p, self.units)
        calls = (p >= self.threshold) != (self.clean >= self.threshold)
        figures = self._areas(p)
        for name in ("sensitivity", "specificity"):
            value = float(at[name])
            figures[name] = _given(value, BOTH)
        for binning in ("width", "mass"):
            error = expected_calibration_error(reliability(y, p, binning))
            figures[f"ece_{binning}"] = Figure(value=error)
        figures["slope"] = self._estimated(None if moved is None else moved.slope)
        figures["in_the_large"] = self._estimated(None if moved is None else moved.in_the_large)
        figures["brier"] = Figure(value=float(brier_terms(y, p).mean()))
        figures["log_loss"] = Figure(value=float(log_loss_terms(y, p).mean()))
        return figures | {"changed_calls": Figure(value=float(calls.mean()))}

    def _areas(self, p: FloatArray) -> dict[str, Figure]:
        auc = roc_auc(self.labels, p)
        if math.isnan(auc):
            none = Figure(value=None, note=BOTH)
            return {"roc_auc": none, "auc_change": none}
        clean, changed = resampled_aucs(
            self.labels,
            np.stack([self.clean, p]),
            self.units,
            resamples=self.resamples,
            seed=self.seed,
        ).T
        return {
            "roc_auc": self._between(auc, changed),
            "auc_change": self._between(auc - roc_auc(self.labels, self.clean), changed - clean),
        }

    def _between(self, value: float, draws: FloatArray) -> Figure:
        found = spread(draws, self.confidence) if self.units.max() > 0 else None
        if found is None or found.low == found.high:
            return Figure(value=value)
        return Figure(value=value, low=found.low, high=found.high)

    def _estimated(self, estimate: Estimate | None) -> Figure:
        if estimate is None:
            return Figure(value=None, note=NO_FIT)
        if not np.isfinite(estimate.error):
            return Figure(value=estimate.value)
        reach = float(norm.ppf((1 + self.confidence) / 2)) * estimate.error
        return Figure(value=estimate.value, low=estimate.value - reach, high=estimate.value + reach)


def _given(value: float, why: str) -> Figure:
    return Figure(value=None, note=why) if math.isnan(value) else Figure(value=value)
