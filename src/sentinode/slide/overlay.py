"""The map upon a picture of the slide, with a legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sentinode.core import atomic_path
from sentinode.types import RESEARCH_USE_ONLY, UInt8Array

__all__ = ["shrunk", "write_overlay"]

DPI = 100
# low is near the tissue's own colour and lets it through, high stands out from it
COLOURS = colormaps["viridis"](np.linspace(0, 1, 256))
COLOURS[:, 3] = np.linspace(0.15, 0.65, 256)
MARGIN_PX, TITLE_PX, LEGEND_PX, NARROWEST_PX = 20, 46, 90, 560
BARS_MM = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def write_overlay(
    path: Path,
    picture: UInt8Array,
    mpp: float,
    probability: NDArray[Any],
    cell_mm: float,
    threshold: float,
    title: str,
) -> None:
    """Draw the map.

    Args:
        path: PNG to write, whole or not at all.
        picture: uint8 (H, W, 3), the slide.
        mpp: Of the picture in µm/px.
        probability: (rows, columns) from its upper left corner on, NaN without tissue.
        cell_mm: Side of a position's square.
        threshold: Whose contour is drawn.
        title: Stands above.
    """
    height, width = picture.shape[:2]
    wide = max(width + 2 * MARGIN_PX, NARROWEST_PX)
    tall = height + MARGIN_PX + TITLE_PX + LEGEND_PX
    figure = Figure(figsize=(wide / DPI, tall / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    left = (wide - width) / 2 / wide
    with rc_context({"font.size": 11, "font.family": "DejaVu Sans"}):
        axes = figure.add_axes((left, (MARGIN_PX + LEGEND_PX) / tall, width / wide, height / tall))
        axes.set_axis_off()
        axes.imshow(picture, extent=(0, width, height, 0), interpolation="none")
        cell = cell_mm * 1000 / mpp
        rows, columns = probability.shape
        extent = (0, columns * cell, rows * cell, 0)
        shown = axes.imshow(
            np.ma.masked_invalid(probability),
            extent=extent,
            cmap=ListedColormap(COLOURS),
            vmin=0,
            vmax=1,
            interpolation="none",
        )
        known = np.nan_to_num(probability, nan=0.0)
        if (known >= threshold).any() and min(known.shape) > 1:
            at = [(np.arange(n) + 0.5) * cell for n in (columns, rows)]
            axes.contour(*at, known, levels=[threshold], colors="#D55E00", linewidths=1.2)
        axes.set(xlim=(0, width), ylim=(height, 0))
        figure.text(0.5, 1 - 26 / tall, title, ha="center", va="center", fontsize=13)
        _scale_bar(figure, wide, tall, mpp)
        legend = figure.add_axes((0.5, 58 / tall, 0.42, 14 / tall))
        figure.colorbar(shown, cax=legend, orientation="horizontal")
        figure.text(0.71, 82 / tall, "probability of tumour", ha="center", va="bottom", fontsize=9)
        legend.axvline(threshold, color="#D55E00", linewidth=2)
        figure.text(0.5, 12 / tall, RESEARCH_USE_ONLY, ha="center", va="center", fontsize=8)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata={"Software": None})


def shrunk(picture: UInt8Array, mpp: float, longest: int) -> tuple[UInt8Array, float]:
    """Return a picture at most ``longest`` px wide or high, and its µm/px."""
    height, width = picture.shape[:2]
    scale = max(width, height) / longest
    if scale <= 1:
        return picture, mpp
    size = max(1, round(width / scale)), max(1, round(height / scale))
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX)
    return np.asarray(small), mpp * scale


def _scale_bar(figure: Figure, wide: int, tall: int, mpp: float) -> None:
    room = 0.3 * wide * mpp / 1000
    length = max((bar for bar in BARS_MM if bar <= room), default=BARS_MM[0])
    span = length * 1000 / mpp / wide
    axes = figure.add_axes((0.08, 60 / tall, span, 6 / tall))
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[])
    figure.text(0.08, 74 / tall, f"{length:g} mm", va="bottom", fontsize=9)
