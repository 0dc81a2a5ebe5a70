"""A map as tiles and outlines in px of level 0: WSInfer's CSV, and GeoJSON for QuPath."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sentinode.core import atomic_path, write_text
from sentinode.slides import Grid, outline
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["write_csv", "write_tiles", "write_tumour"]

COLUMN = "prob_Tumor"  # as WSInfer names the probability of a class
TUMOUR, OTHER = ("Tumor", [200, 0, 0]), ("Other", [255, 200, 0])  # names and colours of QuPath
Map = NDArray[Any]
Size = tuple[int, int]


def _squares(probability: Map, grid: Grid, size: Size) -> Iterator[tuple[int, int, int, int, str]]:
    """Yield left, top, right, bottom and probability of each position with tissue."""
    columns = [min(grid.corner(0, j)[0], size[0]) for j in range(grid.columns + 1)]
    rows = [min(grid.corner(i, 0)[1], size[1]) for i in range(grid.rows + 1)]
    for i, j in np.argwhere(~np.isnan(probability)).tolist():
        p = f"{probability[i, j]:.6f}"
        yield columns[j], rows[i], columns[j + 1], rows[i + 1], p


def write_csv(path: Path, probability: Map, grid: Grid, size: Size) -> None:
    """Write one row per position with tissue: minx, miny, width, height, prob_Tumor.

    Args:
        path: File to write, whole or not at all.
        probability: (rows, columns), NaN without tissue.
        grid: Its positions. The square is the one in the patch's middle that it answers for.
        size: Width and height of level 0, where the squares end.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        handle.write(f"minx,miny,width,height,{COLUMN}\n")
        for x0, y0, x1, y1, p in _squares(probability, grid, size):
            handle.write(f"{x0},{y0},{x1 - x0},{y1 - y0},{p}\n")


def write_tiles(path: Path, probability: Map, grid: Grid, size: Size, threshold: float) -> None:
    """Write every position with tissue as a tile for QuPath; arguments as of `write_csv`."""
    kinds = {
        above: json.dumps({"name": name, "color": colour})
        for above, (name, colour) in ((True, TUMOUR), (False, OTHER))
    }
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        handle.write(f'{{"type": "FeatureCollection", "notice": {json.dumps(RESEARCH_USE_ONLY)}')
        handle.write(', "features": [')
        comma = "\n"
        for x0, y0, x1, y1, p in _squares(probability, grid, size):
            ring = f"[[{x0},{y0}],[{x1},{y0}],[{x1},{y1}],[{x0},{y1}],[{x0},{y0}]]"
            handle.write(
                f'{comma}{{"type": "Feature", "geometry": {{"type": "Polygon", '
                f'"coordinates": [{ring}]}}, "properties": {{"objectType": "tile", '
                f'"classification": {kinds[float(p) >= threshold]}, '
                f'"measurements": [{{"name": "{COLUMN}", "value": {p}}}]}}}}'
            )
            comma = ",\n"
        handle.write("\n]}\n")


def write_tumour(path: Path, probability: Map, grid: Grid, size: Size, threshold: float) -> None:
    """Write the outline of each area above the threshold as an annotation for QuPath."""
    known = np.nan_to_num(np.asarray(probability, np.float64), nan=-1.0)
    labels, _ = ndimage.label(known >= threshold)  # by their sides: one outline each
    features = []
    for number, box in enumerate(ndimage.find_objects(labels)):
        inside = labels[box] == number + 1
        values = known[box][inside]
        measured = {
            f"Max {COLUMN}": float(values.max()),
            f"Mean {COLUMN}": float(values.mean()),
            "Area mm^2": float(inside.sum() * grid.cell_mm**2),
        }
        for area in outline(inside, box[1].start, box[0].start, square=True):
            rings = [_level0(ring, grid, size) for ring in (area.outer, *area.holes)]
            features.append(_annotation(rings, measured))
    values_: dict[str, Any] = {"type": "FeatureCollection", "notice": RESEARCH_USE_ONLY}
    write_text(path, json.dumps(values_ | {"features": features}) + "\n")


def _level0(ring: NDArray[np.float64], grid: Grid, size: Size) -> list[list[float]]:
    points = (ring * (grid.stride * grid.scale)).clip(0, size).round(1).tolist()
    return [*points, points[0]]


def _annotation(rings: list[list[list[float]]], measured: dict[str, float]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "name": f"tumour above threshold, research output: {RESEARCH_USE_ONLY}",
            "classification": {"name": TUMOUR[0], "color": TUMOUR[1]},
            "measurements": [{"name": k, "value": round(v, 6)} for k, v in measured.items()],
        },
    }
