"""Figures on when to rely on a call: net benefit over thresholds, risk over coverage."""

from __future__ import annotations

from sentinode.plots.palette import GREY, NORMAL, TUMOUR
from sentinode.plots.svg import blank, inline_svg, styled
from sentinode.tables import Abstention, Decision

__all__ = ["coverage_figure", "decision_figure"]


@styled
def decision_figure(decision: Decision, confidence: float) -> str:
    """Return the decision curve with its interval, as SVG."""
    figure, axes = blank()
    x = decision.threshold
    if decision.low:
        axes.fill_between(x, decision.low, decision.high, color=NORMAL, alpha=0.2, linewidth=0)
    axes.plot(x, decision.model, color=NORMAL, label=f"the network, {confidence:.0%} interval")
    axes.plot(x, decision.everything, color=TUMOUR, linewidth=1.2, label="call every patch")
    axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="call none")
    top = max(*decision.model, *decision.everything)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.2 * top, 1.08 * top))
    axes.set(xlabel="Threshold probability", ylabel="Net benefit per patch")
    axes.legend(loc="lower left")
    better = [t for t, m, e in zip(x, decision.model, decision.everything, strict=True) if m > e]
    said = "nowhere" if not better else f"from {min(better):.2f} to {max(better):.2f}"
    return inline_svg(figure, "decision", f"Decision curve; better than calling every patch {said}")


@styled
def coverage_figure(abstention: Abstention, confidence: float) -> str:
    """Return risk over coverage with the intervals of some coverages, as SVG."""
    figure, axes = blank()
    axes.step(
        abstention.coverage,
        abstention.risk,
        where="post",
        color=NORMAL,
        label=f"area {abstention.area:.4f}, at best {abstention.least_area:.4f}",
    )
    known = [a for a in abstention.answered if a.risk.low is not None and a.risk.high is not None]
    axes.errorbar(
        [a.coverage for a in known],
        [a.risk.value or 0.0 for a in known],
        yerr=[
            [max(0.0, (a.risk.value or 0.0) - (a.risk.low or 0.0)) for a in known],
            [max(0.0, (a.risk.high or 0.0) - (a.risk.value or 0.0)) for a in known],
        ],
        fmt="o",
        color=TUMOUR,
        elinewidth=1,
        markersize=4,
        label=f"{confidence:.0%} interval",
    )
    axes.legend(loc="upper left")
    axes.set(xlim=(-0.02, 1.02), xlabel="Share of the patches answered")
    axes.set(ylim=(0, None), ylabel="Share of them called wrongly")
    said = f"Risk over coverage, area {abstention.area:.4f}"
    return inline_svg(figure, "coverage", said)
