"""Patches in a file each: Kaggle's layout, class folders, and folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.data.decode import SUFFIXES
from sentinode.data.labels import read_labels
from sentinode.data.source import FileSource, Source
from sentinode.errors import InputError, MissingInputError

__all__ = ["CLASS_NAMES", "FOLD_NAMES", "LABELS_FILE", "items", "open_folder"]

LABELS_FILE = "train_labels.csv"
FOLD_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
CLASS_NAMES = {
    "0": 0, "normal": 0, "negative": 0, "neg": 0, "benign": 0, "healthy": 0,
    "no_tumor": 0, "no_tumour": 0, "non_tumor": 0, "non_tumour": 0, "nontumor": 0,
    "1": 1, "tumor": 1, "tumour": 1, "positive": 1, "pos": 1, "cancer": 1,
    "metastasis": 1, "metastatic": 1, "malignant": 1,
}  # fmt: skip


def open_folder(path: Path) -> Source | None:
    """Open a folder with an image file for each patch; None where it holds no patches.

    Raises:
        InputError: Its parts contradict each other.
    """
    if (path / LABELS_FILE).is_file():
        return _kaggle(path)
    folders = [p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    if any(p.name.lower() in FOLD_NAMES for p in folders):
        return _folds(path, folders)
    if any(p.name.lower() in CLASS_NAMES for p in folders):
        return FileSource("class-folders", path, _classes(path, folders))
    images = list(_images(path))
    return FileSource("images", path, items(path, images)) if images else None


def _images(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
            yield entry


def _below(folder: Path) -> Iterator[Path]:
    """Find the images of a class folder and of the folders in it; links to folders are left."""
    yield from _images(folder)
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _below(Path(entry.path))


def items(root: Path, paths: list[Path], **same: Any) -> pd.DataFrame:
    """List image files by their path below ``root``; the id is that path without its suffix."""
    start = len(root.as_posix().rstrip("/")) + 1
    names = [p.as_posix()[start:] for p in paths]
    frame = pd.DataFrame(
        {
            "id": pd.array([os.path.splitext(n)[0] for n in names], dtype="string"),  # noqa: PTH122
            "path": pd.array(names, dtype="string"),
        }
    )
    return frame.assign(**same)


def _classes(root: Path, folders: list[Path], fold: str | None = None) -> pd.DataFrame:
    """List class folders; a class folder may itself hold folders, as one for each slide."""
    parts = []
    for folder in folders:
        if folder.name.lower() not in CLASS_NAMES:
            raise InputError(
                f"{folder} is no class that is known; expected one of {', '.join(CLASS_NAMES)}"
            )
        images = list(_below(folder))
        if not images:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
        label = CLASS_NAMES[folder.name.lower()]
        parts.append(items(root, images, label=label, source_fold=fold))
    return pd.concat(parts, ignore_index=True)


def _folds(root: Path, folders: list[Path]) -> Source:
    parts = []
    for folder in folders:
        fold = FOLD_NAMES.get(folder.name.lower())
        if fold is None:
            raise InputError(
                f"{folder} stands beside train/, valid/ or test/ and is none of them; move it away"
            )
        inner = [p for p in sorted(folder.iterdir()) if p.is_dir()]
        if inner:
            parts.append(_classes(root, inner, fold))
        elif images := list(_images(folder)):
            parts.append(items(root, images, source_fold=fold))
        else:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return FileSource("class-folders", root, pd.concat(parts, ignore_index=True))


def _kaggle(root: Path) -> Source:
    kind = "phantom" if (root / "phantom.json").is_file() else "kaggle"
    table = read_labels(root / LABELS_FILE)
    labels = table["label"]
    if not (root / "train").is_dir():
        raise MissingInputError(f"{root} has {LABELS_FILE} but no folder train/ with its images")
    train = items(root, list(_images(root / "train")))
    if not len(train):
        raise InputError(f"{root / 'train'} holds no images, {LABELS_FILE} names {len(labels):,}")
    train["id"] = train["id"].str.removeprefix("train/")
    train["label"] = train["id"].map(labels)
    named = train["id"].isin(labels.index)
    train["problem"] = train["id"].map(table["problem"]).where(named, f"no label in {LABELS_FILE}")
    if not named.any():
        raise InputError(
            f"none of the {len(train):,} images in {root / 'train'} is named in {LABELS_FILE}, "
            f"as in {train['id'].iat[0]!r} against {labels.index[0]!r}"
        )
    missing = labels[~labels.index.isin(train["id"])]
    absent = pd.DataFrame({"id": missing.index, "label": missing.to_numpy()})
    absent["path"] = "train/" + absent["id"].astype("string") + ".tif"
    absent["problem"] = f"no image for its line in {LABELS_FILE}"
    parts = [train, absent]
    if (root / "test").is_dir():
        test = items(root, list(_images(root / "test")), source_fold="test")
        test["id"] = test["id"].str.removeprefix("test/")
        parts.append(test)
    return FileSource(kind, root, pd.concat(parts, ignore_index=True))
