"""Small annotated slides: phantoms written whole, with their truth in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sentinode.phantom import MPP, make_slide
from sentinode.phantom.annotations import write_annotations
from sentinode.slides import write_pyramid

SIDE = 448


def cohort(folder: Path, count: int = 4, side: int = SIDE) -> Path:
    """Write slides below ``slides/`` and annotations below ``annotations/``; the last is normal."""
    for index in range(count):
        slide = make_slide(9, index, side)
        write_pyramid(folder / "slides" / f"{slide.name}.tif", slide.image, MPP)
        write_annotations(folder / "annotations", slide.name, slide.mask)
    return folder


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    """Where tumour is, by slide."""
    files = sorted((folder / "annotations" / "mask").glob("*.png"))
    return {file.stem: np.asarray(Image.open(file)) > 0 for file in files}
