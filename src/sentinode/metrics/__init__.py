"""Metrics of predictions: discrimination, calibration, thresholds and their intervals."""

from sentinode.metrics.arrays import BoolArray, FloatArray, IntArray
from sentinode.metrics.calibration import (
    Binning,
    Estimate,
    Recalibration,
    ReliabilityBins,
    brier_terms,
    expected_calibration_error,
    log_loss_terms,
    recalibration,
    reliability,
)
from sentinode.metrics.counts import confusion_counts, count_metrics, outcomes
from sentinode.metrics.delong import delong, delong_interval, delong_test
from sentinode.metrics.intervals import Draws, Spread, bootstrap, spread
from sentinode.metrics.paired import Contrast, contrast, holm, resampled_aucs, two_sided
from sentinode.metrics.ranking import (
    CurvePoints,
    Ranking,
    average_precision,
    pr_curve,
    roc_auc,
    roc_curve,
)
from sentinode.metrics.thresholds import ThresholdRule, choose_threshold

__all__ = [
    "Binning",
    "BoolArray",
    "Contrast",
    "CurvePoints",
    "Draws",
    "Estimate",
    "FloatArray",
    "IntArray",
    "Ranking",
    "Recalibration",
    "ReliabilityBins",
    "Spread",
    "ThresholdRule",
    "average_precision",
    "bootstrap",
    "brier_terms",
    "choose_threshold",
    "confusion_counts",
    "contrast",
    "count_metrics",
    "delong",
    "delong_interval",
    "delong_test",
    "expected_calibration_error",
    "holm",
    "log_loss_terms",
    "outcomes",
    "pr_curve",
    "recalibration",
    "reliability",
    "resampled_aucs",
    "roc_auc",
    "roc_curve",
    "spread",
    "two_sided",
]
