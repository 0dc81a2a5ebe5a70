"""Draw the README's picture: patches of the synthetic cohort, normal above and tumour below.

python benchmarks/phantom_sheet.py docs/phantom.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sentinode.core import atomic_path
from sentinode.phantom import draw_patches, make_slide

SEED, SLIDES, COLUMNS, SIDE, GAP = 42, 17, 12, 96, 6


def main(out: Path) -> None:
    """Write one row of normal and one of tumour patches, with the centre that decides."""
    rows: dict[int, list[Image.Image]] = {0: [], 1: []}
    for index in range(SLIDES):
        slide = make_slide(SEED, index)
        for label, count in ((0, 2), (1, 2)):
            cuts = [c for c in draw_patches(slide, 60, SEED + index) if c.label == label]
            for cut in cuts[:count]:
                pixels = slide.image[cut.y : cut.y + SIDE, cut.x : cut.x + SIDE]
                rows[label].append(framed(pixels))
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, 4 * (SIDE + GAP) + GAP), "white")
    for row, (label, start) in enumerate(((0, 0), (0, COLUMNS), (1, 0), (1, COLUMNS))):
        for column, patch in enumerate(rows[label][start : start + COLUMNS]):
            sheet.paste(patch, (column * (SIDE + GAP), row * (SIDE + GAP) + (row > 1) * 2 * GAP))
    with atomic_path(out) as temporary:
        sheet.save(temporary, optimize=True)


def framed(pixels: np.ndarray) -> Image.Image:
    """Return a patch with its centre 32x32 framed."""
    patch = Image.fromarray(pixels)
    ImageDraw.Draw(patch).rectangle((31, 31, 64, 64), outline=(20, 20, 20))
    return patch


if __name__ == "__main__":
    main(Path(sys.argv[1]))
