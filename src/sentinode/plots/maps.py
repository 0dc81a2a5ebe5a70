"""Attribution maps as pictures: red most, blue least."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sentinode.core import atomic_path
from sentinode.plots.svg import STYLE
from sentinode.types import RESEARCH_USE_ONLY, UInt8Array

__all__ = [
    "LEGEND",
    "coloured",
    "legend_uri",
    "mosaic",
    "overlaid",
    "panels_png",
    "png_uri",
    "tiles_png",
    "top_of",
]

LEGEND = "red most, blue least"
COLOURS = "RdYlBu_r"  # of ColorBrewer: stays apart for every kind of colour vision
GAP = 1  # px between tiles

Values = NDArray[np.floating]


def top_of(values: Values, percentile: float) -> float:
    """Return the value that is drawn reddest: a percentile of what is positive, 0 for nothing."""
    positive = values[values > 0]
    return float(np.percentile(positive, percentile)) if positive.size else 0.0


def coloured(values: Values, percentile: float = 99.0) -> UInt8Array:
    """Return a map as a picture, uint8 (H, W, 3): blue at 0 and below, red at :func:`top_of`."""
    top = top_of(values, percentile)
    share = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    picture: UInt8Array = (colormaps[COLOURS](share)[..., :3] * 255).round().astype(np.uint8)
    return picture


def overlaid(patch: UInt8Array, picture: UInt8Array, opacity: float) -> UInt8Array:
    """Lay a map's picture over its patch, both uint8 (H, W, 3); opacity in 0..1."""
    mixed = (1 - opacity) * patch + opacity * picture
    together: UInt8Array = mixed.round().astype(np.uint8)
    return together


def panels_png(
    path: Path,
    rows: Sequence[tuple[str, UInt8Array, Values]],
    *,
    title: str,
    opacity: float,
    percentile: float,
) -> None:
    """Write input, map and overlay of patches, one row each, as PNG.

    Args:
        path: The PNG.
        rows: What is said of a patch, the patch uint8 (H, W, 3), and its map float (H, W).
        title: What was drawn, and how.
        opacity: Of the overlay, 0..1.
        percentile: Of the positive values, drawn reddest.
    """
    height = 2.05 * len(rows) + 1.0
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(6.4, height), dpi=150)
        share = 0.62 / height
        grid = figure.add_gridspec(
            len(rows), 3, top=1 - share, bottom=share, left=0.01, right=0.99, wspace=0.04,
            hspace=0.22,
        )  # fmt: skip
        for i, (said, patch, values) in enumerate(rows):
            picture = coloured(values, percentile)
            for j, shown in enumerate((patch, picture, overlaid(patch, picture, opacity))):
                axes = figure.add_subplot(grid[i, j])
                axes.imshow(shown, interpolation="nearest")
                axes.set_axis_off()
                _frame(axes, len(patch))
                if i == 0:
                    name = ("input", "map", f"overlay, opacity {opacity:g}")[j]
                    axes.set_title(name, fontsize=8, pad=16)
                if j == 0:
                    axes.text(0, -3, said, fontsize=7, va="bottom")
        figure.suptitle(title, fontsize=8, y=1 - 0.1 / height)
        _legend(figure, percentile, height)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata={"Software": None})


def _frame(axes: Any, side: int) -> None:
    if side >= 32:
        low = (side - 32) / 2 - 0.5
        square = ([low, low + 32, low + 32, low, low], [low, low, low + 32, low + 32, low])
        axes.plot(*square, color="white", linewidth=1.6)
        axes.plot(*square, color="black", linewidth=0.7)


def _legend(figure: Figure, percentile: float, height: float) -> None:
    axes = figure.add_axes((0.345, 0.36 / height, 0.31, 0.1 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=COLOURS)
    axes.set_axis_off()
    said = f"{LEGEND}: from 0 to the {percentile:g}th percentile of each map's positive values"
    figure.text(0.5, 0.2 / height, said, fontsize=7, ha="center")
    figure.text(0.5, 0.06 / height, RESEARCH_USE_ONLY, fontsize=6, ha="center")


def mosaic(tiles: Values, columns: int | None = None) -> Values:
    """Lay tiles (N, h, w) beside each other with gaps of one not-a-number px: float (H, W)."""
    n, height, width = tiles.shape
    columns = columns or math.ceil(math.sqrt(n * height / width))
    lines = math.ceil(n / columns)
    whole = np.full((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.nan)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (height + GAP), i % columns * (width + GAP)
        whole[y : y + height, x : x + width] = tile
    return whole


def tiles_png(
    path: Path, tiles: Values, *, title: str, said: str, columns: int | None = None
) -> None:
    """Write tiles (N, h, w), or in colour (N, h, w, 3) scaled to 0..1, as one PNG.

    Args:
        path: The PNG.
        tiles: Each is drawn on one common scale, from the 1st to the 99th percentile of all; where
            some are negative, the scale is even about 0: blue below, red above.
        title: What it is.
        said: What each tile is.
        columns: Tiles beside each other; by default as square as can be.
    """
    in_colour = tiles.ndim == 4
    low, high = (0.0, 1.0) if in_colour else np.percentile(tiles, [1, 99]).tolist()
    signed = low < 0 and not in_colour
    if signed:
        low, high = -max(-low, high), max(-low, high)
    shown = (
        np.stack([mosaic(tiles[..., c], columns) for c in range(3)], -1)
        if in_colour
        else mosaic(tiles, columns)
    )
    if in_colour:
        shown = np.nan_to_num(shown, nan=1.0)
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(7, 7 * shown.shape[0] / shown.shape[1] + 0.9), dpi=150)
        tall = figure.get_figheight()
        axes = figure.add_axes((0.02, 0.32 / tall, 0.96, 1 - 0.85 / tall))
        cmap = "RdBu_r" if signed else "viridis"
        axes.imshow(
            shown, cmap=cmap, vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest"
        )
        axes.set_axis_off()
        axes.set_title(f"{title}\n{said}", fontsize=8)
        least, most = ("blue", "red") if signed else ("dark", "bright")
        scale = "" if in_colour else f"{least} {low:.3g}, {most} {high:.3g}. "
        figure.text(0.5, 0.1 / tall, scale + RESEARCH_USE_ONLY, fontsize=6, ha="center")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata={"Software": None})


def png_uri(picture: UInt8Array) -> str:
    """Return a picture, uint8 (H, W, 3), as a PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def legend_uri() -> str:
    """Return the colours from least to most as a data URI of 256x1 px."""
    return png_uri(coloured(np.linspace(0, 1, 256)[None], 100.0))
