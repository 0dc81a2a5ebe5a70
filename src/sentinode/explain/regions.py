"""Patches cut from images whose tumour is drawn in a mask, so that maps can be judged by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from sentinode.data import open_source
from sentinode.errors import InputError, MissingInputError
from sentinode.metrics import BoolArray, IntArray, centre_square
from sentinode.types import UInt8Array

__all__ = ["MaskedPatches", "cut_regions"]

IMAGE_FOLDERS = ("images", "train", "test")
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
LEAST, MOST = 0.05, 0.95  # share of tumour: with less or more there is nothing to find


@final
@dataclass(frozen=True)
class MaskedPatches:
    """Patches with the tumour in each.

    Attributes:
        images: uint8 (N, H, W, 3), RGB.
        masks: bool (N, H, W), true where tumour is.
        ids: As in ``C_10072@96,192``: the image, and the patch's top left corner in px.
        units: int64 (N,), which image or slide each patch comes from; intervals resample these.
        labels: int64 (N,), 1 where any pixel of the centre 32x32 is tumour.
        remark: Why a network may know them, a sentence; empty where it does not.
    """

    images: UInt8Array
    masks: BoolArray
    ids: tuple[str, ...]
    units: IntArray
    labels: IntArray
    remark: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def mixed(self, count: int) -> MaskedPatches:
        """Return up to ``count`` of the patches that hold both, evenly over all of them.

        Kept are those with tumour in the centre and 5 to 95 % of tumour in all: there the network
        has something to find, and a map can miss it.
        """
        share = self.masks.mean((1, 2))
        found = np.flatnonzero((self.labels == 1) & (share >= LEAST) & (share <= MOST))
        return self.take(_evenly(found, count))

    def take(self, rows: IntArray) -> MaskedPatches:
        """Return some of the patches."""
        return MaskedPatches(
            self.images[rows],
            self.masks[rows],
            tuple(self.ids[row] for row in rows.tolist()),
            self.units[rows],
            self.labels[rows],
            self.remark,
        )


def cut_regions(folder: Path, size: int, stride: int | None = None) -> MaskedPatches:
    """Cut patches from a folder with ``images/`` and ``masks/``.

    A mask has the name of its image, with any ending, and is 0 where there is no tumour: black, or
    the first colour of a palette, however it looks. Larger images are cut side by side from the
    top left corner on; a cohort of phantoms, whose images are patches already, is taken as it is,
    its slides as units.

    Args:
        folder: Where they are; images in ``images/``, or ``train/`` and ``test/`` of a cohort.
        size: Side of a patch in px.
        stride: Distance between patches in px; by default their size.

    Raises:
        MissingInputError: There is no such folder, or no masks in it.
        InputError: No image has a mask, a mask has another size than its image, or every image
            is smaller than a patch.
    """
    masks = {p.stem: p for p in _images_in(folder / "masks")}
    if not masks:
        raise MissingInputError(f"{folder} has no masks; expected images/ and masks/ in it")
    images = [p for name in IMAGE_FOLDERS for p in _images_in(folder / name) if p.stem in masks]
    if not images:
        raise InputError(
            f"{folder}: none of its {len(masks)} masks has the name of an image in "
            f"{', '.join(f'{name}/' for name in IMAGE_FOLDERS)}"
        )
    slides = _slides(folder)
    pieces, inner, ids, units = [], [], [], []
    for path in images:
        image, mask = _pair(path, masks[path.stem])
        for y, x in _corners(image.shape, size, stride or size):
            pieces.append(image[y : y + size, x : x + size])
            inner.append(mask[y : y + size, x : x + size])
            whole = image.shape[:2] == (size, size)
            ids.append(path.stem if whole else f"{path.stem}@{x},{y}")
            units.append(slides.get(path.stem, path.stem))
    if not pieces:
        raise InputError(f"{folder}: every image is smaller than a patch of {size} px")
    tumour = np.stack(inner)
    number = {name: i for i, name in enumerate(sorted(set(units)))}
    codes = np.array([number[name] for name in units], np.int64)
    labels = np.asarray((tumour & centre_square(size)).any((1, 2)), np.int64)
    return MaskedPatches(np.stack(pieces), tumour, tuple(ids), codes, labels)


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def _slides(folder: Path) -> dict[str, str]:
    """Return the slide of each patch of a cohort, nothing for other folders."""
    if not (folder / "slide_map.csv").is_file():
        return {}
    table = open_source(folder).table
    known = table[table["slide"].notna()]
    return dict(zip(known["id"].astype(str), known["slide"].astype(str), strict=True))


def _pair(path: Path, mask_path: Path) -> tuple[UInt8Array, BoolArray]:
    try:
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        with Image.open(mask_path) as opened:
            mask = _drawn(opened)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} or its mask cannot be read: {error}") from error
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{mask_path} is {mask.shape[1]}x{mask.shape[0]} px, its image "
            f"{image.shape[1]}x{image.shape[0]}; expected the same size"
        )
    return image, mask


def _drawn(mask: Image.Image) -> BoolArray:
    """Return where a mask is not 0: by index where it has a palette, else by any of its colours."""
    colours = len(set(mask.getbands()) - {"A", "a"})
    if colours > 1:
        return np.asarray(np.asarray(mask.convert("RGB")).any(2))
    values = np.asarray(mask)
    return np.asarray((values if values.ndim == 2 else values[..., 0]) > 0)


def _corners(shape: tuple[int, ...], size: int, stride: int) -> list[tuple[int, int]]:
    return [
        (y, x)
        for y in range(0, shape[0] - size + 1, stride)
        for x in range(0, shape[1] - size + 1, stride)
    ]


def _evenly(rows: IntArray, count: int) -> IntArray:
    if len(rows) <= count:
        return rows
    picks = np.linspace(0, len(rows) - 1, count).round().astype(np.int64)
    return rows[picks]
