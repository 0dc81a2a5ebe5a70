"""The figures of a study, each from the trials and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sentinode.plots.palette import GREY, NORMAL, TUMOUR
from sentinode.plots.svg import blank, inline_svg, styled

if TYPE_CHECKING:
    from sentinode.tune.results import TuneTrial

__all__ = ["curves_figure", "history_figure", "importance_figure", "values_figure"]

FAINT = 0.45


@styled
def history_figure(trials: Sequence[TuneTrial], label: str, *, higher: bool) -> str:
    """Return the objective of each trial and the best so far, as SVG.

    Args:
        trials: All trials.
        label: What to write at the axis.
        higher: Whether more is better.
    """
    figure, axes = blank(6.4, 3.4)
    done = [(t.number, t.value) for t in trials if t.value is not None]
    early = [(t.number, t.curve[-1]) for t in trials if t.state == "pruned" and t.curve]
    failed = [t.number for t in trials if t.state == "failed"]
    axes.plot(*zip(*done, strict=True), "o", color=NORMAL, markersize=5, label="finished")
    if early:
        axes.plot(
            *zip(*early, strict=True),
            "x",
            color=GREY,
            markersize=5,
            label="ended early, last epoch",
        )
    so_far = (np.maximum if higher else np.minimum).accumulate([v for _, v in done])
    axes.step([n for n, _ in done], so_far, where="post", color=TUMOUR, label="best so far")
    for place, number in enumerate(failed):
        axes.axvline(
            number, color=GREY, linewidth=1, linestyle=(0, (2, 2)), label="" if place else "failed"
        )
    figure.legend(loc="outside upper center", ncols=4)
    axes.set(xlabel="Trial", ylabel=label, xlim=(0.5, len(trials) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    said = f"{label} of {len(trials)} trials, the best {so_far[-1]:.4f}"
    return inline_svg(figure, "history", said)


@styled
def curves_figure(trials: Sequence[TuneTrial], best: int, label: str) -> str:
    """Return the objective after each epoch of every trial, as SVG.

    Args:
        trials: All trials.
        best: Number of the best one.
        label: What to write at the axis.
    """
    figure, axes = blank(6.4, 3.4)
    for trial in trials:
        if not trial.curve or trial.number == best:
            continue
        colour = NORMAL if trial.state == "complete" else GREY
        epochs = range(1, len(trial.curve) + 1)
        axes.plot(epochs, trial.curve, ".-", color=colour, alpha=FAINT, linewidth=1)
    for trial in trials:
        if trial.number == best and trial.curve:
            epochs = range(1, len(trial.curve) + 1)
            axes.plot(epochs, trial.curve, "o-", color=TUMOUR, markersize=4, label="best trial")
    axes.plot([], [], ".-", color=NORMAL, alpha=FAINT, linewidth=1, label="finished")
    axes.plot([], [], ".-", color=GREY, alpha=FAINT, linewidth=1, label="ended early or failed")
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlabel="Epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return inline_svg(figure, "curves", f"{label} after each epoch of {len(trials)} trials")


@styled
def importance_figure(importance: Mapping[str, float]) -> str:
    """Return the importance of each key as bars, the largest on top, as SVG."""
    figure, axes = blank(6.4, 0.9 + 0.42 * len(importance))
    names = sorted(importance, key=lambda name: importance[name])
    bars = axes.barh(names, [importance[name] for name in names], color=NORMAL, height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="Share of the objective's spread", xlim=(0, 1.08 * max(importance.values())))
    axes.grid(visible=False, axis="y")
    said = ", ".join(f"{name} {importance[name]:.2f}" for name in reversed(names))
    return inline_svg(figure, "importance", f"Importance: {said}")


@styled
def values_figure(
    trials: Sequence[TuneTrial], key: str, best: int, label: str, *, logarithmic: bool
) -> str:
    """Return the objective over the values of one key, as SVG.

    Args:
        trials: All trials.
        key: As in ``train.learning_rate``.
        best: Number of the best trial.
        label: What to write at the axis of the objective.
        logarithmic: Whether the key is drawn on a logarithmic scale.
    """
    figure, axes = blank(4.0, 3.0)
    done = [t for t in trials if t.value is not None]
    values = [t.params[key] for t in done]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers:
        names = sorted({str(v) for v in values})
        places: Sequence[float] = [names.index(str(v)) for v in values]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    else:
        places = [float(v) for v in values]
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=5))
    for place, trial in zip(places, done, strict=True):
        chosen = trial.number == best
        axes.plot(
            place,
            trial.value or 0.0,
            "o",
            color=TUMOUR if chosen else NORMAL,
            markersize=7 if chosen else 5,
        )
    axes.set(xlabel=key, ylabel=label)
    slug = key.replace(".", "-")
    return inline_svg(figure, f"values-{slug}", f"{label} over {key} of {len(done)} trials")
