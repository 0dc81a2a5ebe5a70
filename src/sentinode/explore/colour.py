"""Brightness, contrast and saturation by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.explore.counting import kinds_of
from sentinode.explore.facts import KINDS, Histogram, Spread, Statistic
from sentinode.explore.pixels import LUMA, Pixels
from sentinode.metrics import roc_auc

__all__ = ["brightness_of", "statistics_of"]

BINS = 40


def brightness_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the mean luma of each patch, float64 (N,), in 0..255; NaN where not measured.

    Luma is linear, so that its mean follows from the means of the channels.
    """
    means = frame[["mean_r", "mean_g", "mean_b"]].to_numpy(np.float64, na_value=np.nan)
    brightness: NDArray[np.float64] = means @ LUMA
    return brightness


def statistics_of(
    frame: pd.DataFrame, usable: NDArray[np.bool_], pixels: Pixels
) -> tuple[Statistic, ...]:
    """Return the three statistics by class; one that no patch has is left out.

    Args:
        frame: Of the manifest.
        usable: Boolean (N,): whom they are about.
        pixels: Of the sample, for the contrast.
    """
    kinds = kinds_of(frame)[usable]
    saturation = frame["saturation"].to_numpy(np.float64, na_value=np.nan)[usable]
    every = "of every usable patch"
    some = f"of the {len(pixels.rows):,} sampled patches"
    found = (
        ("brightness", f"mean luma, 0 to 255, {every}", 255.0, brightness_of(frame)[usable], kinds),
        (
            "contrast",
            f"standard deviation of the luma, {some}",
            127.5,
            pixels.contrast,
            pixels.kinds,
        ),
        (
            "saturation",
            f"HSV, 0 to 1, mean of an 8x8 grid of colours, {every}",
            1.0,
            saturation,
            kinds,
        ),
    )
    return tuple(
        _statistic(name, said, values[~np.isnan(values)], codes[~np.isnan(values)], most)
        for name, said, most, values, codes in found
        if not np.isnan(values).all()
    )


def _statistic(
    name: str, said: str, values: NDArray[np.float64], kinds: NDArray[np.int64], most: float
) -> Statistic:
    edges = np.linspace(0, most, BINS + 1)
    present = [code for code in range(3) if (kinds == code).any()]
    labelled = kinds < 2
    area = roc_auc(kinds[labelled], values[labelled] / most) if {0, 1} <= set(present) else None
    return Statistic(
        name=name,
        said=said,
        spreads=tuple(_spread(KINDS[code], values[kinds == code]) for code in present),
        histogram=Histogram(
            edges=tuple(edges.tolist()),
            counts={
                KINDS[code]: tuple(np.histogram(values[kinds == code], edges)[0].tolist())
                for code in present
            },
        ),
        separation=None if area is None else max(area, 1 - area),
    )


def _spread(kind: str, values: NDArray[np.float64]) -> Spread:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Spread(
        kind=kind,
        patches=len(values),
        mean=float(values.mean()),
        quartile_low=low,
        median=median,
        quartile_high=high,
    )
