"""One figure of a stress test: a column for each family of changes, a row for each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentinode.core import atomic_path
from sentinode.plots.palette import GREY, INK, NORMAL
from sentinode.plots.svg import STYLE, inline_svg

__all__ = ["Panel", "Point", "robustness_figure", "robustness_png"]

ROWS = {"roc_auc": "ROC AUC", "ece_width": "Calibration error", "slope": "Calibration slope"}
IDEAL = {"ece_width": 0.0, "slope": 1.0}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1f2328", "#999999")
ACROSS = 4
MOST_SLOPE = 3.0
SMALL = {"font.size": 7.5, "legend.fontsize": 6.5, "lines.linewidth": 1.3, "axes.labelsize": 7.5}
Point = tuple[float | None, float | None, float | None]
"""Value and both ends of its interval."""


@final
@dataclass(frozen=True)
class Panel:
    """One family.

    Attributes:
        title: Its name.
        axis: What a strength is.
        places: The strengths in words, the neutral one among them.
        neutral: Which of them is the patches as they are.
        lines: Name of a line ("" for the only one) -> metric -> a point for each place.
    """

    title: str
    axis: str
    places: tuple[str, ...]
    neutral: int
    lines: Mapping[str, Mapping[str, Sequence[Point]]]


def robustness_figure(panels: Sequence[Panel], alt: str) -> str:
    """Return the figure as SVG; ``alt`` is said to who cannot see it."""
    with rc_context(STYLE | SMALL):
        return inline_svg(_drawn(panels), "robustness", alt)


def robustness_png(panels: Sequence[Panel], path: Path) -> None:
    """Write the figure as PNG, whole or not at all, the same bytes each time."""
    with rc_context(STYLE | SMALL), atomic_path(path) as temporary:
        _drawn(panels).savefig(temporary, dpi=150, metadata={"Software": None}, facecolor="white")


def _drawn(panels: Sequence[Panel]) -> Figure:
    blocks = [panels[i : i + ACROSS] for i in range(0, len(panels), ACROSS)]
    figure = Figure(figsize=(8.6, 4.3 * len(blocks)), layout="constrained")
    grid = figure.subfigures(len(blocks), 1, squeeze=False, hspace=0.03)[:, 0]
    limits = {metric: _limits(metric, panels) for metric in ROWS}
    for part, block in zip(grid, blocks, strict=True):
        axes = part.subplots(len(ROWS), ACROSS, squeeze=False, sharex="col")
        for column in range(ACROSS):
            for row, metric in enumerate(ROWS):
                if column >= len(block):
                    axes[row, column].set_visible(False)
                    continue
                _panel(axes[row, column], block[column], metric, limits[metric])
                if column == 0:
                    axes[row, column].set_ylabel(ROWS[metric])
                else:
                    axes[row, column].tick_params(labelleft=False)
    return _settled(figure)


def _settled(figure: Figure) -> Figure:
    """Fix the layout at whole ten-thousandths: its solver's last digits vary within a process."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.get_axes():
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 4), round(bottom, 4), round(width, 4), round(height, 4)))
    return figure


def _panel(axes: Axes, panel: Panel, metric: str, limits: tuple[float, float]) -> None:
    x = np.arange(len(panel.places))
    axes.axvline(panel.neutral, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    if metric in IDEAL:
        axes.axhline(IDEAL[metric], color=GREY, linewidth=0.8)
    for colour, (name, metrics) in zip(COLOURS, panel.lines.items(), strict=False):
        value, low, high = np.array(metrics[metric], dtype=np.float64).T
        only = len(panel.lines) == 1
        shade = NORMAL if only else colour
        axes.plot(x, value, "o-", color=shade, markersize=2.6, label=name or None)
        if only:
            axes.fill_between(x, low, high, color=shade, alpha=0.18, linewidth=0)
    axes.set(xlim=(-0.3, len(x) - 0.7), ylim=limits)
    axes.set_xticks(x, panel.places, rotation=90 if max(map(len, panel.places)) > 5 else 0)
    first, last = next(iter(ROWS)), list(ROWS)[-1]
    if metric == first:
        axes.set_title(panel.title, fontsize=8.5, color=INK, loc="left")
        if len(panel.lines) > 1:
            axes.legend(loc="lower left", handlelength=1.2, labelspacing=0.2)
    if metric == last:
        axes.set_xlabel(panel.axis)


def _limits(metric: str, panels: Sequence[Panel]) -> tuple[float, float]:
    """Return common limits of a metric over all panels; what lies beyond them is cut off."""
    values = [
        point[0]
        for panel in panels
        for line in panel.lines.values()
        for point in line[metric]
        if point[0] is not None
    ]
    values += [IDEAL[metric]] if metric in IDEAL else []
    low, high = min(values, default=0.0), max(values, default=1.0)
    if metric == "slope":  # of a few patches it can be anything
        low, high = max(low, 0.0), min(high, MOST_SLOPE)
    room = 0.07 * (high - low) or 0.05
    return low - room, high + room
