"""The figures of a report, each from a part of the report and nothing else."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sentinode.plots.palette import GREY, NORMAL, TRAIN, TUMOUR, VALID
from sentinode.plots.svg import blank, inline_svg, styled
from sentinode.tables import Bin, Curve, Histogram, OperatingPoint, Training

__all__ = ["histogram_figure", "pr_figure", "reliability_figure", "roc_figure", "training_figure"]


@styled
def roc_figure(curve: Curve, auc: float, points: dict[str, OperatingPoint]) -> str:
    """Return the ROC curve with the thresholds on it, as SVG."""
    figure, axes = blank()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(curve.x, curve.y, color=NORMAL, label=f"ROC AUC {auc:.3f}")
    for point, marker, label in _places(points):
        false_alarms = point.confusion.shares["false_alarms"]
        hits = point.confusion.shares["hits"]
        if false_alarms is not None and hits is not None:
            axes.plot(false_alarms, hits, marker, color=TUMOUR, label=label, markersize=7)
    axes.legend(loc="lower right")
    _square(axes, "1 − specificity (false alarms)", "Sensitivity")
    return inline_svg(figure, "roc", f"ROC curve, area {auc:.3f}")


@styled
def pr_figure(
    curve: Curve, average: float, prevalence: float, points: dict[str, OperatingPoint]
) -> str:
    """Return the precision-recall curve with the thresholds on it, as SVG."""
    figure, axes = blank()
    axes.axhline(prevalence, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    recall, precisions = (0.0, *curve.x), (curve.y[0], *curve.y)
    axes.step(recall, precisions, where="pre", color=NORMAL, label=f"PR AUC {average:.3f}")
    for point, marker, label in _places(points):
        hits = point.confusion.shares["hits"]
        precision = point.figures["precision"].value
        if hits is not None and precision is not None:
            axes.plot(hits, precision, marker, color=TUMOUR, label=label, markersize=7)
    axes.legend(loc="best")
    _square(axes, "Sensitivity (recall)", "Precision")
    said = f"Precision-recall curve, average precision {average:.3f}, by chance {prevalence:.3f}"
    return inline_svg(figure, "pr", said)


def _places(points: dict[str, OperatingPoint]) -> list[tuple[OperatingPoint, str, str]]:
    chosen, half = points["chosen"], points["half"]
    places = [(half, "s", "at 0.5")]
    if chosen.threshold != half.threshold:
        places.insert(0, (chosen, "o", f"at {chosen.threshold:.3f}, chosen"))
    return places


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)


@styled
def reliability_figure(
    width: tuple[Bin, ...], mass: tuple[Bin, ...], confidence: float, name: str = "reliability"
) -> str:
    """Return the reliability diagram, as SVG: bins of equal width, and of equal mass.

    Args:
        width: Bins of equal width.
        mass: Bins of equal mass.
        confidence: Coverage of the intervals.
        name: Unique among the figures of a page.
    """
    figure, axes = blank()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="ideal")
    x = [b.mean_probability for b in width]
    y = [b.share for b in width]
    reach = [[b.share - b.low for b in width], [b.high - b.share for b in width]]
    reach = [[max(0.0, v) for v in side] for side in reach]
    axes.errorbar(
        x,
        y,
        yerr=reach,
        fmt="o-",
        color=NORMAL,
        ecolor=NORMAL,
        elinewidth=1,
        markersize=4,
        label=f"equal width, {confidence:.0%} interval",
    )
    axes.plot(
        [b.mean_probability for b in mass],
        [b.share for b in mass],
        "D",
        color=TUMOUR,
        markerfacecolor="none",
        markersize=5,
        label="equal mass",
    )
    axes.legend(loc="upper left")
    _square(axes, "Mean probability in the bin", "Share with tumour")
    furthest = max(width, key=lambda b: abs(b.share - b.mean_probability))
    said = (
        f"Reliability diagram; furthest from ideal where the mean probability is "
        f"{furthest.mean_probability:.2f} and the share with tumour {furthest.share:.2f}"
    )
    return inline_svg(figure, name, said)


@styled
def histogram_figure(histogram: Histogram, threshold: float) -> str:
    """Return the probabilities of both classes and the chosen threshold, as SVG."""
    figure, axes = blank()
    shapes = (("normal", histogram.normal, NORMAL), ("tumour", histogram.tumour, TUMOUR))
    for name, counts, colour in shapes:
        total = sum(counts)
        if not total:
            continue
        shares = [count / total for count in counts]
        axes.stairs(shares, histogram.edges, color=colour, fill=True, alpha=0.25)
        axes.stairs(
            shares, histogram.edges, color=colour, linewidth=1.5, label=f"{name} ({total:,})"
        )
    axes.axvline(threshold, color=GREY, linewidth=1.2, label=f"threshold {threshold:.3f}")
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlim=(-0.02, 1.02), xlabel="Probability of tumour", ylabel="Share of the class")
    said = (
        f"Histogram of probabilities of {sum(histogram.tumour):,} tumour and "
        f"{sum(histogram.normal):,} normal patches, threshold {threshold:.3f}"
    )
    return inline_svg(figure, "histogram", said)


@styled
def training_figure(training: Training, quantity: str, label: str) -> str:
    """Return one quantity over the epochs for training and validation patches, as SVG.

    Args:
        training: The history.
        quantity: ``loss``, ``accuracy`` or ``auc``.
        label: What to write at its axis.
    """
    figure, axes = blank(4.0, 3.0)
    epochs = [e or 0.0 for e in training.columns["epoch"]]
    shapes = (("training", quantity, TRAIN, "o-"), ("validation", f"valid_{quantity}", VALID, "s-"))
    for name, column, colour, style in shapes:
        values = [math.nan if v is None else v for v in training.columns[column]]
        axes.plot(epochs, values, style, color=colour, markersize=3.5, label=name)
    if training.best_epoch is not None:
        axes.axvline(
            training.best_epoch, color=GREY, linewidth=1.2, label=f"kept: {training.best_epoch}"
        )
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlabel="Epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    said = f"{label} over {len(epochs)} epochs on training and validation patches"
    if training.best_epoch is not None:
        said += f", kept epoch {training.best_epoch}"
    return inline_svg(figure, f"training-{quantity}", said)
