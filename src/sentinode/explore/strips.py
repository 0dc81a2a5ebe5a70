"""Which patches the page shows, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import AuditConfig
from sentinode.explore.colour import brightness_of
from sentinode.explore.counting import kinds_of, shown
from sentinode.explore.facts import KINDS, Strip
from sentinode.explore.pixels import drawn

__all__ = ["extreme_strips", "limit_strips", "sample_strips"]

SAMPLES = 24
UNLABELLED = 12
LIMITS_SHOWN = 24
EXTREMES = 8


def sample_strips(frame: pd.DataFrame, usable: NDArray[np.bool_], seed: int) -> tuple[Strip, ...]:
    """Draw patches of each class."""
    kinds = kinds_of(frame)
    strips = []
    for code, kind in enumerate(KINDS):
        rows = np.flatnonzero(usable & (kinds == code))
        if len(rows):
            chosen = drawn(rows, SAMPLES if code < 2 else UNLABELLED, seed)
            strips.append(
                Strip(
                    name=f"sample, {kind}",
                    title=kind.capitalize(),
                    said="",
                    found=len(rows),
                    patches=shown(frame, chosen),
                )
            )
    return tuple(strips)


def limit_strips(frame: pd.DataFrame, limits: AuditConfig) -> tuple[Strip, ...]:
    """Find near-black and near-white patches by the audit's limits, whatever their label."""
    readable = frame["problem"].isna()
    dark = readable & (frame["max"] < limits.near_black_max).fillna(value=False)
    bright = readable & (frame["min"] > limits.near_white_min).fillna(value=False)
    return (
        _beyond("near-black", f"Largest value below {limits.near_black_max}.", frame, dark, "max"),
        _beyond("near-white", f"Least value above {limits.near_white_min}.", frame, bright, "min"),
    )


def _beyond(
    name: str, said: str, frame: pd.DataFrame, found: pd.Series[bool], column: str
) -> Strip:
    rows = np.flatnonzero(found.to_numpy(bool))
    chosen = rows[:LIMITS_SHOWN]
    values = [f"{column} {value}" for value in frame[column].iloc[chosen]]
    return Strip(
        name=name,
        title=name.capitalize(),
        said=said,
        found=len(rows),
        patches=shown(frame, chosen, values),
    )


def extreme_strips(frame: pd.DataFrame, usable: NDArray[np.bool_]) -> tuple[Strip, ...]:
    """Find the usable patches at the ends of brightness, saturation and sharpness."""
    measured = {
        "mean luma": brightness_of(frame),
        "saturation": frame["saturation"].to_numpy(np.float64, na_value=np.nan),
        "sharpness": frame["sharpness"].to_numpy(np.float64, na_value=np.nan),
    }
    wanted = (
        ("darkest", "mean luma", False, "{:.1f}"),
        ("brightest", "mean luma", True, "{:.1f}"),
        ("least saturated", "saturation", False, "{:.3f}"),
        ("most saturated", "saturation", True, "{:.3f}"),
        ("least sharp", "sharpness", False, "{:,.1f}"),
    )
    strips = []
    for name, quantity, from_top, form in wanted:
        values = measured[quantity]
        rows = np.flatnonzero(usable & ~np.isnan(values))
        order = np.argsort(-values[rows] if from_top else values[rows], kind="stable")
        chosen = rows[order[:EXTREMES]]
        if len(chosen):
            strips.append(
                Strip(
                    name=name,
                    title=f"{name.capitalize()}, by {quantity}",
                    said="",
                    found=len(rows),
                    patches=shown(frame, chosen, [form.format(v) for v in values[chosen]]),
                )
            )
    return tuple(strips)
