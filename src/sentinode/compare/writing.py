"""The comparison on disk: compare.json, .html, .md, tables, and the probabilities behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from sentinode.compare.common import Common
from sentinode.compare.curves import per_doubling
from sentinode.compare.figures import auc_figure, curve_figure, difference_figure
from sentinode.compare.result import Comparison, CurvePoint
from sentinode.compare.tables import TextTable, difference_table, group_tables, runs_frame
from sentinode.core import atomic_path, folder_lock, write_json, write_text
from sentinode.plots import render
from sentinode.tables import write_parquet
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["comparison_markdown", "comparison_page", "write_comparison"]


def write_comparison(comparison: Comparison, folder: Path, common: Common | None = None) -> Path:
    """Write the comparison's files, each whole or not at all, and return that of the page.

    What an earlier comparison left there and this one does not have is removed.

    Args:
        comparison: The comparison.
        folder: Made where it is not there.
        common: Its patches, to write ``probabilities.parquet`` too: a column for each candidate.

    Raises:
        InputError: The folder cannot be written to.
        DiskFullError: The disk is full.
        BusyError: Another process writes there.
    """
    differences = [each.model_dump(exclude={"spread"}) for each in comparison.differences]
    with folder_lock(folder):
        write_json(folder / "compare.json", comparison.model_dump(mode="json"))
        _csv(folder / "runs.csv", runs_frame(comparison))
        if differences:
            _csv(folder / "differences.csv", pd.DataFrame(differences))
        else:
            (folder / "differences.csv").unlink(missing_ok=True)
        if common is not None:
            note = {"notice": RESEARCH_USE_ONLY, "said": comparison.headline}
            write_parquet(folder / "probabilities.parquet", common.table(), note)
        else:
            (folder / "probabilities.parquet").unlink(missing_ok=True)
        write_text(folder / "compare.md", comparison_markdown(comparison))
        write_text(folder / "compare.html", comparison_page(comparison))
    return folder / "compare.html"


def _csv(path: Path, frame: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown, without its figures."""
    lines = ["# Comparison", "", f"**{RESEARCH_USE_ONLY}**", "", comparison.headline, ""]
    lines += [f"- {said}" for said in (*comparison.findings, *comparison.warnings)]
    for table in _tables(comparison):
        lines += ["", f"## {table.title}", "", table.said, "", *_rows(table)]
    if comparison.differences:
        lines += ["", "## In words", "", *(f"- {d.said}" for d in comparison.differences)]
    for points in _curves(comparison):
        lines += ["", f"## Learning curve of {points[0].curve}", "", _curve_said(points)]
    return "\n".join(lines) + "\n"


def _tables(comparison: Comparison) -> Iterator[TextTable]:
    yield from group_tables(comparison)
    if comparison.differences:
        yield difference_table(comparison)


def _rows(table: TextTable) -> Iterator[str]:
    yield "| " + " | ".join(table.columns) + " |"
    yield "|" + " --- |" * len(table.columns)
    for row in table.rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _curves(comparison: Comparison) -> list[list[CurvePoint]]:
    by_name: dict[str, list[CurvePoint]] = {}
    for point in comparison.curves:
        by_name.setdefault(point.curve, []).append(point)
    return list(by_name.values())


def _curve_said(points: list[CurvePoint]) -> str:
    sizes = ", ".join(f"{point.auc:.3f} with {point.patches:,}" for point in points)
    gain = f"{per_doubling(points):+.3f}".replace("-", "−")
    return f"ROC AUC {sizes}; a doubling of the training patches brings {gain}."


def comparison_page(comparison: Comparison) -> str:
    """Return the comparison as one self-contained page."""
    differences = comparison.differences
    return render(
        "compare.html",
        comparison=comparison,
        tables=group_tables(comparison),
        differences=difference_table(comparison) if differences else None,
        auc_figure=Markup(auc_figure(comparison)),
        difference_figure=Markup(difference_figure(comparison)) if differences else "",
        curves=[_curve(points, i) for i, points in enumerate(_curves(comparison), 1)],
        made=_made(comparison),
    )


def _curve(points: list[CurvePoint], number: int) -> dict[str, Any]:
    svg = Markup(curve_figure(points, number))
    return {"name": points[0].curve, "svg": svg, "said": _curve_said(points)}


def _made(comparison: Comparison) -> list[tuple[str, str]]:
    made = comparison.provenance
    versions = {"sentinode": made.sentinode, "python": made.python, **made.packages}
    return [
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Seeds", ", ".join(f"{name} = {seed}" for name, seed in made.seeds.items())),
        ("Configuration", ", ".join(f"{name} = {value}" for name, value in made.config.items())),
        *((f"SHA-256 of {role}", digest) for role, digest in made.inputs.items()),
    ]
