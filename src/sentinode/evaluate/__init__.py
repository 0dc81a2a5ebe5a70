"""Predictions in, report out; scores anybody's predictions."""

from sentinode.evaluate.calibrating import calibrate, made_worse
from sentinode.evaluate.evaluation import evaluate
from sentinode.evaluate.page import headline_lines, report_page
from sentinode.evaluate.reading import (
    ReadPredictions,
    column_names,
    read_labels,
    read_predictions,
)
from sentinode.evaluate.rows import with_labels
from sentinode.evaluate.stains import StainClusters, cluster_stains
from sentinode.evaluate.wording import said_interval, said_value
from sentinode.evaluate.writing import metrics_table, write_report

__all__ = [
    "ReadPredictions",
    "StainClusters",
    "calibrate",
    "cluster_stains",
    "column_names",
    "evaluate",
    "headline_lines",
    "made_worse",
    "metrics_table",
    "read_labels",
    "read_predictions",
    "report_page",
    "said_interval",
    "said_value",
    "with_labels",
    "write_report",
]
