"""Sections of the page that are tables: groups, calibration, prevalence, abstention and sets."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from sentinode.evaluate.wording import asked_share, percent, said_interval, said_value
from sentinode.plots import coverage_figure, reliability_figure
from sentinode.tables import ConformalRow, Figure, GroupRow, Report

__all__ = [
    "abstention_section",
    "calibration_section",
    "conformal_section",
    "group_section",
    "prevalence_section",
]

GROUPS_SHOWN = 40
CALIBRATION = {
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece_width": "Calibration error, equal width",
    "ece_mass": "Calibration error, equal mass",
    "calibration_slope": "Slope (ideal 1)",
    "calibration_intercept": "Intercept (ideal 0)",
    "calibration_in_the_large": "In the large (ideal 0)",
}


def group_section(kind: str, table: tuple[GroupRow, ...], report: Report) -> dict[str, Any]:
    """Return what the page shows of the slides, centres or stain clusters."""

    def said(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    name = "stain cluster" if kind == "stain" else kind
    shown = table[:GROUPS_SHOWN]
    part = "" if len(shown) == len(table) else f"The worst {len(shown)} of {len(table):,} {name}s. "
    more = f" {report.stains_said}" if kind == "stain" and report.stains_said else ""
    return {
        "kind": name.capitalize(),
        "title": f"By {name}",
        "worst": report.worst[kind],
        "caption": f"{part}At the chosen threshold, the largest share of wrong patches first; "
        f"Wilson's interval of accuracy takes the patches of a {name} as independent.{more}",
        "columns": [
            "Patches",
            "Tumour",
            "Accuracy",
            f"{asked_share(report.confidence)} interval",
            "Sensitivity",
            "Specificity",
            "ROC AUC",
            "Misses",
            "False alarms",
        ],
        "rows": [
            {
                "name": row.name,
                "colours": report.stains.get(row.name) if kind == "stain" else None,
                "cells": [
                    f"{row.patches:,}",
                    f"{row.tumour:,}",
                    said(row.accuracy),
                    f"{said(row.accuracy_low)} to {said(row.accuracy_high)}",
                    said(row.sensitivity),
                    said(row.specificity),
                    said(row.roc_auc),
                    f"{row.misses:,}",
                    f"{row.false_alarms:,}",
                ],
            }
            for row in shown
        ],
    }


def calibration_section(report: Report) -> dict[str, Any] | None:
    """Return calibration before and after, None where there was no calibration."""
    before = report.uncalibrated
    if before is None:
        return None
    said = ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in before.method.items()
    )
    figures = {
        "Before": reliability_figure(
            before.reliability["width"],
            before.reliability["mass"],
            report.confidence,
            "reliability-before",
        ),
        "After": reliability_figure(
            report.reliability["width"],
            report.reliability["mass"],
            report.confidence,
            "reliability-after",
        ),
    }
    return {
        "said": f"Calibration: {said}." if said else "",
        "figures": [{"svg": Markup(svg), "caption": name} for name, svg in figures.items()],
        "rows": [
            {"name": title, "cells": [_figure(before.figures[name]), _figure(report.overall[name])]}
            for name, title in CALIBRATION.items()
        ],
    }


def prevalence_section(report: Report) -> list[dict[str, Any]]:
    """Return one table for each threshold."""
    tables = []
    for name, point in report.at.items():
        if name == "half" and point.threshold == report.at["chosen"].threshold:
            continue
        tables.append(
            {
                "title": f"At {point.threshold:.3f}",
                "rows": [
                    {
                        "name": asked_share(row.prevalence),
                        "precision": _figure(row.precision),
                        "negative": _figure(row.negative_predictive_value, 4),
                        "false_alarms": _count(row.false_alarms),
                        "misses": _count(row.misses),
                    }
                    for row in report.prevalence
                    if row.at == name
                ],
            }
        )
    return tables


def abstention_section(report: Report) -> dict[str, Any] | None:
    """Return risk over coverage."""
    found = report.abstention
    if found is None:
        return None
    return {
        "figure": Markup(coverage_figure(found, report.confidence)),
        "area": f"{found.area:.4f}",
        "least": f"{found.least_area:.4f}",
        "rows": [
            {
                "name": percent(row.coverage),
                "patches": f"{row.patches:,}",
                "risk": {"value": percent(row.risk.value), "interval": _share_interval(row.risk)},
                "cells": [
                    f"{row.misses:,}",
                    f"{row.false_alarms:,}",
                    percent(row.sensitivity),
                    percent(row.specificity),
                ],
            }
            for row in found.answered
        ],
    }


def conformal_section(report: Report) -> dict[str, Any] | None:
    """Return the sets, None where there are none."""
    found = report.conformal
    if found is None:
        return None
    return {"said": found.said, "rows": [_sets(row) for row in found.rows]}


def _sets(row: ConformalRow) -> dict[str, Any]:
    return {
        "name": f"{asked_share(row.stated)} {'in each class' if row.by_class else 'on the whole'}",
        "held": [
            {"value": percent(figure.value), "interval": _share_interval(figure)}
            for figure in (row.held, row.held_tumour, row.held_normal)
        ],
        "cells": [percent(v) for v in (row.one, row.both, row.neither, row.wrong_answers)],
        "note": row.note or "",
    }


def _figure(figure: Figure, digits: int = 3) -> dict[str, str]:
    if digits == 3 or figure.value is None:
        return {"value": said_value(figure), "interval": said_interval(figure)}
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return {"value": f"{figure.value:.{digits}f}", "interval": interval}


def _share_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure.low:.1%} to {figure.high:.1%}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
