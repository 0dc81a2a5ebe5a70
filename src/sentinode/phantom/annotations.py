"""The truth of a slide as annotation programs keep it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sentinode.core import atomic_path
from sentinode.slides import outline, write_asap, write_geojson, write_ncrf

__all__ = ["write_annotations"]


def write_annotations(folder: Path, name: str, mask: NDArray[np.bool_]) -> None:
    """Write where tumour is in four formats: all give the same mask again, to the pixel.

    Args:
        folder: Gets ``asap/NAME.xml``, ``ncrf/NAME.json``, ``geojson/NAME.geojson`` (of QuPath)
            and ``mask/NAME.png`` (0 and 255).
        name: Of the slide.
        mask: bool (H, W), of level 0.
    """
    areas = outline(mask)
    write_asap(folder / "asap" / f"{name}.xml", areas)
    write_ncrf(folder / "ncrf" / f"{name}.json", areas)
    write_geojson(folder / "geojson" / f"{name}.geojson", areas)
    with atomic_path(folder / "mask" / f"{name}.png") as temporary:
        Image.fromarray(mask.astype(np.uint8) * 255).save(temporary)
