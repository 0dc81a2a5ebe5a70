"""Figures of a comparison: the groups, their differences, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from sentinode.compare.result import Comparison, CurvePoint, Difference, Verdict
from sentinode.plots.palette import GREY, NORMAL, TRAIN, TUMOUR
from sentinode.plots.svg import blank, inline_svg, styled

__all__ = ["auc_figure", "curve_figure", "difference_figure"]

COLOURS: dict[Verdict, str] = {
    "real": TUMOUR,
    "negligible": NORMAL,
    "these runs only": "#CC79A7",
    "not told apart": GREY,
}
LINES_SHOWN = 40


@styled
def auc_figure(comparison: Comparison) -> str:
    """Return each group's mean ROC AUC with its interval and the runs it is the mean of, as SVG."""
    groups = [g for g in comparison.groups if g.auc.value is not None][:LINES_SHOWN][::-1]
    figure, axes = blank(8.0, 1.1 + 0.36 * len(groups))
    aucs = {row.name: row.auc.value for row in comparison.rows}
    for y, group in enumerate(groups):
        value = group.auc.value or 0.0
        if group.auc.low is not None and group.auc.high is not None:
            axes.plot([group.auc.low, group.auc.high], [y, y], color=NORMAL, linewidth=2)
        axes.plot(value, y, "D", color=NORMAL, markersize=5)
        runs = [found for name in group.runs if (found := aucs[name]) is not None]
        if len(runs) > 1:
            axes.plot(runs, [y] * len(runs), "o", color=TUMOUR, markersize=4.5, fillstyle="none")
    _named(axes, [group.name for group in groups])
    axes.set_xlabel(
        f"ROC AUC: mean, {comparison.confidence:.0%} over {comparison.unit}; rings: runs"
    )
    best = groups[-1] if groups else None
    said = "" if best is None else f", the best {best.name} with {best.auc.value:.3f}"
    return inline_svg(figure, "aucs", f"ROC AUC of {len(groups)} groups{said}")


@styled
def difference_figure(comparison: Comparison) -> str:
    """Return every difference with its interval, coloured by what it amounts to, as SVG."""
    shown = comparison.differences[:LINES_SHOWN][::-1]
    figure, axes = blank(8.0, 1.5 + 0.36 * len(shown))
    margin = comparison.margin
    axes.axvspan(-margin, margin, color=TRAIN, alpha=0.18, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    told: set[Verdict] = set()
    for y, each in enumerate(shown):
        colour = COLOURS[each.verdict]
        label = None if each.verdict in told else each.verdict
        told.add(each.verdict)
        style = "-" if each.seeds else (0, (3, 2))
        axes.plot([each.low, each.high], [y, y], color=colour, linewidth=2, linestyle=style)
        axes.plot(each.value, y, "D", color=colour, markersize=5, label=label)
    _named(axes, [_pair(each, comparison.against) for each in shown])
    figure.legend(loc="outside upper center", ncols=4)
    reach = "patches and seeds" if all(d.seeds for d in shown) else "patches (dashed), and seeds"
    axes.set_xlabel(f"Difference of ROC AUC, {comparison.confidence:.0%} over {reach}")
    return inline_svg(figure, "differences", f"{len(shown)} differences of ROC AUC")


def _pair(difference: Difference, against: str | None) -> str:
    return difference.first if against else f"{difference.first} − {difference.second}"


def _named(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(visible=False, axis="y")


@styled
def curve_figure(points: Sequence[CurvePoint], number: int) -> str:
    """Return one learning curve, as SVG.

    Args:
        points: Of one curve, by size.
        number: Of the curve on its page.
    """
    figure, axes = blank(5.6, 3.6)
    x = [point.patches for point in points]
    axes.plot(x, [point.auc for point in points], "D-", color=NORMAL, markersize=5, label="mean")
    ends = [(p.patches, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if ends:
        at, low, high = zip(*ends, strict=True)
        axes.fill_between(at, low, high, color=NORMAL, alpha=0.15, linewidth=0, label="interval")
    runs = [(point.patches, auc) for point in points for auc in point.runs]
    axes.plot(*zip(*runs, strict=True), "o", color=TUMOUR, fillstyle="none", label="runs")
    axes.set_xscale("log")
    axes.set_xticks(x)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="Training patches", ylabel="ROC AUC")
    axes.legend(loc="lower right")
    said = (
        f"ROC AUC from {points[0].auc:.3f} at {x[0]:,} patches to {points[-1].auc:.3f} at {x[-1]:,}"
    )
    return inline_svg(figure, f"curve-{number}", said)
