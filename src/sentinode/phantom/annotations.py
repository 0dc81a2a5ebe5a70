"""The truth of a slide as annotation programs keep it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sentinode.core import atomic_path
from sentinode.slides import Polygon, outline, write_asap, write_geojson, write_ncrf

__all__ = ["write_annotations"]

BLOCK = 64  # px; regions this far apart are outlined apart
LARGEST_PNG = 100_000_000


def write_annotations(folder: Path, name: str, mask: NDArray[np.bool_]) -> None:
    """Write where tumour is in four formats: all give the same mask again, to the pixel.

    Args:
        folder: Gets ``asap/NAME.xml``, ``ncrf/NAME.json``, ``geojson/NAME.geojson`` (of QuPath)
            and, up to 100 million px, ``mask/NAME.png`` (0 and 255).
        name: Of the slide.
        mask: bool (H, W), of level 0.
    """
    areas = _outlines(mask)
    write_asap(folder / "asap" / f"{name}.xml", areas)
    write_ncrf(folder / "ncrf" / f"{name}.json", areas)
    write_geojson(folder / "geojson" / f"{name}.geojson", areas)
    if mask.size <= LARGEST_PNG:
        with atomic_path(folder / "mask" / f"{name}.png") as temporary:
            Image.fromarray(mask.astype(np.uint8) * 255).save(temporary)


def _outlines(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Outline the mask region by region, so that a large one need not be in memory at once."""
    down, across = (np.arange(0, n, BLOCK) for n in mask.shape)
    some = np.array([np.logical_or.reduceat(mask[y : y + BLOCK].any(0), across) for y in down])
    labels, _ = ndimage.label(some, np.ones((3, 3)))
    areas: list[Polygon] = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        y, x = rows.start * BLOCK, columns.start * BLOCK
        part = mask[y : rows.stop * BLOCK, x : columns.stop * BLOCK]
        own = np.kron(labels[rows, columns] == number, np.ones((BLOCK, BLOCK), bool))
        areas += outline(part & own[: part.shape[0], : part.shape[1]], x, y)
    return areas
