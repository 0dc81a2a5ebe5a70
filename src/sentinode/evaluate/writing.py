"""The report on disk: report.json, metrics.csv and report.html."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sentinode.core import atomic_path, folder_lock, write_text
from sentinode.evaluate.page import report_page
from sentinode.tables import Figure, PackedSet, Report

__all__ = ["metrics_table", "write_report"]


def write_report(report: Report, folder: Path, *, packed: PackedSet | None = None) -> Path:
    """Write the report's three files, each whole or not at all, and return that of the page.

    Args:
        report: The report.
        folder: Made where it is not there.
        packed: The set it was made with, for the pictures of the examples.

    Raises:
        InputError: The folder cannot be written to.
        DiskFullError: The disk is full.
        BusyError: Another process writes there.
    """
    page = report_page(report, packed)
    with folder_lock(folder):
        report.write(folder / "report.json")
        with atomic_path(folder / "metrics.csv") as temporary:
            metrics_table(report).to_csv(temporary, index=False, lineterminator="\n")
        write_text(folder / "report.html", page)
    return folder / "report.html"


def metrics_table(report: Report) -> pd.DataFrame:
    """Return one row per figure: at, threshold, metric, value, low, high, unit, note."""
    rows = [_row("overall", None, n, f, report.unit) for n, f in report.overall.items()]
    for at, point in report.at.items():
        rows += [_row(at, point.threshold, n, f, report.unit) for n, f in point.figures.items()]
    return pd.DataFrame(rows)


def _row(
    at: str, threshold: float | None, metric: str, figure: Figure, unit: str
) -> dict[str, object]:
    return {"at": at, "threshold": threshold, "metric": metric, **figure.model_dump(), "unit": unit}
