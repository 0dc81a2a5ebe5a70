"""A matplotlib figure as SVG that can stand inside an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, ParamSpec

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentinode.plots.palette import GREY, INK, RULE

__all__ = ["blank", "inline_svg", "styled"]

_P = ParamSpec("_P")

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def styled(draw: Callable[_P, str]) -> Callable[_P, str]:
    """Draw a figure in the style of the reports, whatever style the caller's process has."""

    @wraps(draw)
    def inner(*args: _P.args, **kwargs: _P.kwargs) -> str:
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return inner


def blank(width: float = 4.6, height: float = 3.5) -> tuple[Figure, Axes]:
    """Return an empty figure, sides in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """Return a figure as an ``svg`` element without a reference to anything outside itself.

    Args:
        figure: A figure of :func:`blank`.
        name: Unique among the figures of a page; its inner names begin with it.
        alt: What the figure shows, for who cannot see it.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    # Numbered as they come: the library names some by the last digits of a layout, which vary.
    names: dict[str, str] = {}
    text = re.sub(
        r'\b(id="|url\(#|href="#)([^")]+)',
        lambda m: m[1] + names.setdefault(m[2], f"{name}-{len(names) + 1}"),
        text,
    )
    text = re.sub(r'<svg ([^>]*?)(height|width)="[^"]*"', r"<svg \1", text)
    text = re.sub(r'<svg ([^>]*?)(height|width)="[^"]*"', r"<svg \1", text)
    label = escape(alt, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
