"""Predictions in, report out; scores anybody's predictions."""

from sentinode.evaluate.calibrating import calibrate
from sentinode.evaluate.evaluation import evaluate
from sentinode.evaluate.page import headline_lines, report_page, said_interval, said_value
from sentinode.evaluate.rows import with_labels
from sentinode.evaluate.writing import metrics_table, write_report

__all__ = [
    "calibrate",
    "evaluate",
    "headline_lines",
    "metrics_table",
    "report_page",
    "said_interval",
    "said_value",
    "with_labels",
    "write_report",
]
