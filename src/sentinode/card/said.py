"""Figures in words, the same on every line of a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinode.card.blocks import gap
from sentinode.tables import Figure

__all__ = ["figure_said", "number", "settings_said"]


def number(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", "−")


def figure_said(figure: Figure | None, missing: str) -> str:
    """Return value and interval, or why there is none."""
    if figure is None or figure.value is None:
        return gap((figure.note if figure is not None else None) or missing)
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} ({number(figure.low)} to {number(figure.high)})"


def settings_said(settings: Mapping[str, Any]) -> str:
    """Return settings as in ``epochs 30, batch_size 32``."""
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))
