"""Metrics of predictions and of attribution maps, thresholds and their intervals."""

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
from sentinode.metrics.maps import (
    area_matched_iou,
    border_frame,
    centre_square,
    curve_area,
    effective_area,
    heterogeneity,
    mean_interval,
    pixel_auc,
    pointing_game,
    positive_share,
    rank_correlation,
)
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
    "area_matched_iou",
    "average_precision",
    "bootstrap",
    "border_frame",
    "brier_terms",
    "centre_square",
    "choose_threshold",
    "confusion_counts",
    "contrast",
    "count_metrics",
    "curve_area",
    "delong",
    "delong_interval",
    "delong_test",
    "effective_area",
    "expected_calibration_error",
    "heterogeneity",
    "holm",
    "log_loss_terms",
    "mean_interval",
    "outcomes",
    "pixel_auc",
    "pointing_game",
    "positive_share",
    "pr_curve",
    "rank_correlation",
    "recalibration",
    "reliability",
    "resampled_aucs",
    "roc_auc",
    "roc_curve",
    "spread",
    "two_sided",
]
