"""The stress test on disk: stress.json, stress.csv, stress.md, stress.png and stress.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sentinode.core import atomic_path, folder_lock, write_json, write_text
from sentinode.plots import (
    Panel,
    Point,
    patch_uris,
    render,
    robustness_figure,
    robustness_png,
)
from sentinode.stress.conditions import FAMILIES, Family
from sentinode.stress.report import Measured, Stressed, StressReport, stress_table

__all__ = ["write_stress"]

COLUMNS = {
    "roc_auc": "ROC AUC",
    "auc_change": "Change of AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ece_width": "ECE, width",
    "ece_mass": "ECE, mass",
    "slope": "Slope",
    "in_the_large": "In the large",
    "changed_calls": "Other calls",
}
WITH_INTERVAL = ("roc_auc", "auc_change", "slope")
DRAWN = ("roc_auc", "ece_width", "slope")


def write_stress(stressed: Stressed, folder: Path) -> Path:
    """Write the test's five files, each whole or not at all, and return that of the page.

    Raises:
        InputError: The folder cannot be written to.
        DiskFullError: The disk is full.
        BusyError: Another process writes there.
    """
    report = stressed.report
    panels = _panels(report)
    page = _page(stressed, panels)
    with folder_lock(folder):
        write_json(folder / "stress.json", report.model_dump(mode="json"))
        with atomic_path(folder / "stress.csv") as temporary:
            stress_table(report).to_csv(
                temporary, index=False, lineterminator="\n", float_format="%.6g"
            )
        write_text(folder / "stress.md", _markdown(report))
        robustness_png(panels, folder / "stress.png")
        write_text(folder / "stress.html", page)
    return folder / "stress.html"


def _page(stressed: Stressed, panels: Sequence[Panel]) -> str:
    report = stressed.report
    alt = f"ROC AUC, calibration error and slope of {report.model} under each change by strength"
    return render(
        "stress.html",
        report=report,
        figure=Markup(robustness_figure(panels, alt)),
        example=stressed.example,
        strips=_strips(stressed),
        columns=list(COLUMNS.values()),
        rows=[{"name": _name(m), "cells": _cells(m)} for m in report.conditions],
        made=[
            ("Configuration", ", ".join(f"{k} = {v}" for k, v in report.provenance.config.items())),
            *((f"SHA-256 of {role}", digest) for role, digest in report.provenance.inputs.items()),
            ("Versions", ", ".join(f"{k} {v}" for k, v in report.provenance.packages.items())),
        ],
    )


def _strips(stressed: Stressed) -> list[dict[str, Any]]:
    measured, strips = stressed.report.conditions, []
    uris = patch_uris(stressed.pictures)
    for name, family in FAMILIES.items():
        targets = dict.fromkeys(m.target for m in measured if m.family == name)
        for target in targets:
            shown = [{"uri": uris[0], "said": measured[0].said}]
            shown += [
                {"uri": uri, "said": m.said}
                for uri, m in zip(uris, measured, strict=True)
                if (m.family, m.target) == (name, target)
            ]
            toward = f": toward {target}" if target else ""
            strips.append({"title": f"{family.title}{toward}", "pictures": shown})
    return strips


def _panels(report: StressReport) -> list[Panel]:
    clean = report.conditions[0]
    return [
        _panel(family, [m for m in report.conditions if m.family == name], clean)
        for name, family in FAMILIES.items()
        if any(m.family == name for m in report.conditions)
    ]


def _panel(family: Family, of: Sequence[Measured], clean: Measured) -> Panel:
    neutral = 0 if family.neutral is None else sum(s < family.neutral for s in family.strengths)
    lines = {}
    for target in dict.fromkeys(m.target for m in of):
        points = [m for m in of if m.target == target]
        points.insert(neutral, clean)
        lines[target or ""] = {name: [_point(m, name) for m in points] for name in DRAWN}
    places = [_place(family, s) for s in family.strengths]
    places.insert(neutral, "none" if family.neutral is None else _place(family, family.neutral))
    return Panel(family.title, family.axis, tuple(places), neutral, lines)


def _place(family: Family, strength: float) -> str:
    return family.said(strength) if family.name == "orientation" else f"{strength:g}"


def _point(measured: Measured, name: str) -> Point:
    figure = measured.figures[name]
    return figure.value, figure.low, figure.high


def _name(measured: Measured) -> str:
    if measured.strength is None:
        return "None: the patches as they are"
    toward = f" toward {measured.target}" if measured.target else ""
    return f"{FAMILIES[measured.family].title}: {measured.said}{toward}"


def _cells(measured: Measured) -> list[str]:
    cells = []
    for name in COLUMNS:
        figure = measured.figures[name]
        if figure.value is None:
            cells.append("–")
            continue
        said = _number(figure.value)
        if name in WITH_INTERVAL and figure.low is not None and figure.high is not None:
            said += f" ({_number(figure.low)} to {_number(figure.high)})"
        cells.append(said)
    return cells


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _markdown(report: StressReport) -> str:
    head = ["Change", *COLUMNS.values()]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    lines += ["| " + " | ".join([_name(m), *_cells(m)]) + " |" for m in report.conditions]
    found = "\n".join(f"- {said}" for said in (*report.warnings, *report.lessons))
    return f"{report.headline}\n\n{found}\n\n" + "\n".join(lines) + f"\n\n{report.notice}\n"
