"""Small folders of patches as people have them, and every way such a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

SIDE = 24


def picture(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Return a patch unlike any other: uint8 (side, side, 3)."""
    return np.random.default_rng(number).integers(20, 235, (side, side, 3), dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def kaggle(root: Path, labelled: int = 20, unlabelled: int = 4) -> Path:
    """Write Kaggle's layout; ids a000.. with labels 0, 1, 0, 1 and so on, then unlabelled ones."""
    lines = ["id,label"]
    for i in range(labelled + unlabelled):
        folder = "train" if i < labelled else "test"
        save(root / folder / f"a{i:03d}.tif", picture(i))
        if i < labelled:
            lines.append(f"a{i:03d},{i % 2}")
    (root / "train_labels.csv").write_text("\n".join(lines) + "\n")
    return root


def class_folders(
    root: Path,
    per_class: int = 6,
    folds: tuple[str, ...] = ("",),
    names: tuple[str, str] = ("0", "1"),
) -> Path:
    """Write PNGs in a folder a class, below a folder a fold."""
    for f, fold in enumerate(folds):
        for label, name in enumerate(names):
            for i in range(per_class):
                save(root / fold / name / f"p{i}.png", picture(1000 * f + 100 * label + i))
    return root


def damaged(root: Path) -> dict[str, str]:
    """Write one file of every wrong kind into ``root``; return words of its reason by name."""
    root.mkdir(parents=True, exist_ok=True)
    good = root / "good.tif"
    save(good, picture(1))
    data = good.read_bytes()
    (root / "cut.tif").write_bytes(data[: len(data) // 2])
    (root / "header.tif").write_bytes(data[:6])
    (root / "empty.tif").write_bytes(b"")
    (root / "text.tif").write_text("this is no image\n")
    save(root / "large.tif", picture(2, SIDE + 1))
    tifffile.imwrite(root / "deep.tif", picture(3).astype(np.uint16) * 257, photometric="rgb")
    Image.fromarray(picture(4)).convert("CMYK").save(root / "cmyk.tif")
    Image.fromarray(picture(5)).convert("P").save(root / "palette.png")
    Image.fromarray(picture(6)).convert("L").save(root / "gray.png")
    clear = np.dstack([picture(7), np.full((SIDE, SIDE), 90, np.uint8)])
    Image.fromarray(clear).save(root / "clear.png")
    save(root / "jpeg.jpg", picture(8))
    jpeg = (root / "jpeg.jpg").read_bytes()
    (root / "jpeg.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    good.unlink()
    return {
        "cut.tif": "cut short",
        "header.tif": "cut short",
        "empty.tif": "the file is empty",
        "text.tif": "not an image",
        "large.tif": "wrong size: 25x25",
        "deep.tif": "16 bits a channel",
        "cmyk.tif": "CMYK",
        "palette.png": "palette",
        "gray.png": "grayscale",
        "clear.png": "transparent",
        "jpeg.jpg": "runcated",
    }
