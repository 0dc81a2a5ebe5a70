"""Patches in a file each: Kaggle's layout, class folders, and folders of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.core import read_json
from sentinode.data.decode import SUFFIXES
from sentinode.data.labels import CLASS_NAMES, FOLD_NAMES, read_labels
from sentinode.data.source import FileSource, Source
from sentinode.errors import InputError, MissingInputError

__all__ = ["LABELS_FILE", "folder_of_images", "items", "open_folder"]

LABELS_FILE = "train_labels.csv"
PHANTOM_FILE = "phantom.json"
LOCK_FILE = ".lock"  # in every folder that a command of ours writes


def open_folder(path: Path) -> Source | None:
    """Open a folder with an image file for each patch; None where it holds no patches.

    Raises:
        InputError: Its parts contradict each other.
    """
    if (path / LABELS_FILE).is_file():
        return _kaggle(path)
    folders = _folders_in(path)
    if any(p.name.lower() in FOLD_NAMES for p in folders):
        return _folds(path, folders)
    if any(p.name.lower() in CLASS_NAMES for p in folders):
        _check_no_image(path)
        return FileSource("class-folders", path, _classes(path, folders))
    images = _images(path)
    return FileSource("images", path, items(path, images)) if images else None


def folder_of_images(path: Path) -> Path | None:
    """Return a folder in ``path`` that is named after a class or a fold and holds images."""
    named = [p for p in _folders_in(path) if _is_named(p)]
    return next((p for p in named if _below(p)), None)


def _folders_in(path: Path) -> list[Path]:
    """List the folders in a folder, without what we wrote there."""
    found = [Path(e.path) for e in _entries(path) if _is_folder(e)]
    return [p for p in found if _is_named(p) or not (p / LOCK_FILE).is_file()]


def _is_named(folder: Path) -> bool:
    return folder.name.lower() in FOLD_NAMES or folder.name.lower() in CLASS_NAMES


def _check_no_image(folder: Path) -> None:
    images = _images(folder)
    if images:
        raise InputError(
            f"{images[0]} lies beside folders of patches, {len(images):,} image(s) in all; move "
            "them into one of these, or away"
        )


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """List a folder by name; as entries, since 200,000 paths take their time and room."""
    with os.scandir(folder) as found:
        return sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # a link that leads back to itself makes `DirEntry.is_dir` raise
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def _images(folder: Path | str) -> list[str]:
    return [
        entry.path
        for entry in _entries(folder)
        if os.path.splitext(entry.name)[1].lower() in SUFFIXES and not _is_folder(entry)  # noqa: PTH122
    ]


def _below(folder: Path | str, above: frozenset[tuple[int, int]] = frozenset()) -> list[str]:
    """Find the images of a class folder and of the folders in it, following no link in a loop."""
    state = os.stat(folder)  # noqa: PTH116 - of a path as text
    here = above | {(state.st_dev, state.st_ino)}
    if len(here) == len(above):
        return []
    inner = [entry.path for entry in _entries(folder) if _is_folder(entry)]
    return _images(folder) + [image for path in inner for image in _below(path, here)]


def items(root: Path, paths: Sequence[str], **same: Any) -> pd.DataFrame:
    """List image files by their path below ``root``; the id is that path without its suffix."""
    above = "" if root == Path() else f"{root}".rstrip(os.sep) + os.sep
    here = os.curdir + os.sep
    below = [p.removeprefix(here).removeprefix(above).replace(os.sep, "/") for p in paths]
    found = pd.Series(below, dtype="string")
    table = pd.DataFrame({"id": found.str.replace(r"\.[^./]*$", "", regex=True), "path": found})
    return table.assign(**same)


def _classes(root: Path, folders: list[Path], fold: str | None = None) -> pd.DataFrame:
    """List class folders; a class folder may itself hold folders, as one for each slide."""
    parts = []
    for folder in folders:
        if folder.name.lower() not in CLASS_NAMES:
            raise InputError(
                f"{folder} is no class that is known; expected one of {', '.join(CLASS_NAMES)}; "
                "rename it, or move it away"
            )
        images = _below(folder)
        if not images:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
        label = CLASS_NAMES[folder.name.lower()]
        parts.append(items(root, images, label=label, source_fold=fold))
    return pd.concat(parts, ignore_index=True)


def _folds(root: Path, folders: list[Path]) -> Source:
    _check_no_image(root)
    parts = []
    for folder in folders:
        fold = FOLD_NAMES.get(folder.name.lower())
        if fold is None:
            raise InputError(
                f"{folder} stands beside train/, valid/ or test/ and is none of them; move it away"
            )
        if inner := _folders_in(folder):
            _check_no_image(folder)
            parts.append(_classes(root, inner, fold))
        elif images := _images(folder):
            parts.append(items(root, images, source_fold=fold))
        else:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return FileSource("class-folders", root, pd.concat(parts, ignore_index=True))


def _kaggle(root: Path) -> Source:
    table = read_labels(root / LABELS_FILE)
    labels = table["label"]
    if not (root / "train").is_dir():
        raise MissingInputError(f"{root} has {LABELS_FILE} but no folder train/ with its images")
    train = items(root, _images(root / "train"))
    if not len(train):
        raise InputError(f"{root / 'train'} holds no images, {LABELS_FILE} names {len(labels):,}")
    train["id"] = train["id"].str.removeprefix("train/")
    at = labels.index.get_indexer(pd.Index(train["id"]))
    named = pd.Series(at >= 0, train.index)
    train["label"] = labels.array.take(at, allow_fill=True)
    problem = pd.Series(table["problem"].array.take(at, allow_fill=True), train.index)
    train["problem"] = problem.where(named, f"no label in {LABELS_FILE}")
    if not named.any():
        raise InputError(
            f"none of the {len(train):,} images in {root / 'train'} is named in {LABELS_FILE}, "
            f"as in {train['id'].iat[0]!r} against {labels.index[0]!r}"
        )
    missing = labels.drop(labels.index[at[at >= 0]])
    absent = pd.DataFrame({"id": missing.index, "label": missing.to_numpy()})
    absent["path"] = "train/" + absent["id"].astype("string") + ".tif"
    absent["problem"] = f"no image for its line in {LABELS_FILE}"
    parts = [train, absent]
    if (root / "test").is_dir():
        test = items(root, _images(root / "test"), source_fold="test")
        test["id"] = test["id"].str.removeprefix("test/")
        parts.append(test)
    joined = pd.concat(parts, ignore_index=True)
    if not (root / PHANTOM_FILE).is_file():
        return FileSource("kaggle", root, joined)
    return FileSource("phantom", root, joined, mpp=_phantom_mpp(root / PHANTOM_FILE))


def _phantom_mpp(path: Path) -> float | None:
    said = read_json(path)
    mpp = said.get("mpp") if isinstance(said, dict) else None
    if mpp is not None and not (isinstance(mpp, int | float) and 0 < mpp < 100):
        raise InputError(f"{path}: mpp is {mpp!r}, expected micrometres a pixel")
    return mpp
