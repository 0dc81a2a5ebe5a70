"""Figures in words."""

from __future__ import annotations

from sentinode.tables import Figure

__all__ = ["asked_share", "number", "percent", "said_interval", "said_value"]


def said_value(figure: Figure) -> str:
    """Return a figure's value in words, an en dash where there is none."""
    return "–" if figure.value is None else number(figure.value)


def said_interval(figure: Figure) -> str:
    """Return a figure's interval in words, empty where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def number(value: float) -> str:
    """Return a number with three digits and a proper minus."""
    return f"{value:.3f}".replace("-", "−")


def asked_share(value: float) -> str:
    """Return a share that somebody asked for in percent, with the digits that it has: 97.5%."""
    return f"{100 * value:.6g}%"


def percent(value: float | None) -> str:
    """Return a share in percent, an en dash where there is none."""
    return "–" if value is None else f"{value:.1%}"
