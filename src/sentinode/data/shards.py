"""Finding the files that one set is cut into, and the folds their names give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sentinode.data.labels import FOLD_NAMES

__all__ = ["folds_of", "shards_below"]


def shards_below(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a suffix in a folder, in ``data/``, or in folders named after folds.

    Args:
        folder: Where to look.
        suffix: With its point, as in ".tar".
    """
    named = sorted(p for p in folder.iterdir() if p.name.lower() in FOLD_NAMES)
    places = [folder, folder / "data", *named]
    return [p for place in places if place.is_dir() for p in sorted(place.glob(f"*{suffix}"))]


def folds_of(root: Path, files: Sequence[Path]) -> list[str | None]:
    """Return the fold that the name of each file gives, or its folder's name; all or none.

    Args:
        root: Folder of the set.
        files: Files below it, as ``train-00000-of-00013.parquet`` or ``val/0003.tar``.
    """
    folds = []
    for file in files:
        words = re.findall("[a-z]+", "-".join(reversed(file.relative_to(root).parts)).lower())
        folds.append(next((FOLD_NAMES[word] for word in words if word in FOLD_NAMES), None))
    return folds if None not in folds else [None] * len(folds)
