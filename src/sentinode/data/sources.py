"""What people have, through one door: a table of patches and a way to read each."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, final

import pandas as pd

from sentinode.data.decode import SUFFIXES, read_patch
from sentinode.data.labels import read_labels, read_slide_map
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import MANIFEST_DTYPES
from sentinode.types import UInt8Array

__all__ = ["ITEM_COLUMNS", "FileSource", "Source", "open_source"]

ITEM_COLUMNS = (
    "id",
    "path",
    "label",
    "slide",
    "patient",
    "centre",
    "x",
    "y",
    "source_fold",
    "problem",
)
"""Columns of a source's table: those of the manifest that are known before a patch is read."""

LABELS_FILE = "train_labels.csv"
SLIDE_MAPS = ("slide_map.csv", "patch_id_wsi*.csv")
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


class Source(ABC):
    """A set of patches as somebody keeps it.

    Attributes:
        kind: Kind of the source, as in "kaggle".
        table: One row per patch in a fixed order; columns :data:`ITEM_COLUMNS` with the dtypes of
            the manifest. A patch known beforehand to be unusable says why in ``problem``.
        mpp: µm/px where the source says it, else None.
    """

    kind: str
    table: pd.DataFrame
    mpp: float | None = None

    @abstractmethod
    def read(self, row: int) -> UInt8Array:
        """Return patch ``row`` as uint8 (H, W, 3), RGB.

        Raises:
            PatchProblem: It cannot be used; the message says why.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes when the table or a file behind it changes."""

    def prepare(self, work: Path) -> None:  # noqa: B027 - most sources have nothing to prepare
        """Unpack into ``work``, a folder on the set's disk, what cannot be read in place."""

    def __len__(self) -> int:
        return len(self.table)


@final
class FileSource(Source):
    """Patches in one image file each.

    Args:
        kind: Kind of the source.
        root: Folder that the column ``path`` starts from.
        table: Columns of :data:`ITEM_COLUMNS`; missing ones are null.
    """

    def __init__(self, kind: str, root: Path, table: pd.DataFrame) -> None:
        self.kind, self.root = kind, root
        columns = {n: table.get(n, pd.Series(pd.NA, table.index)) for n in ITEM_COLUMNS}
        typed = {n: c.astype(cast(Any, MANIFEST_DTYPES[n])) for n, c in columns.items()}
        self.table = pd.DataFrame(typed).sort_values("path", kind="stable", ignore_index=True)
        twice = self.table["id"][self.table["id"].duplicated()]
        if len(twice):
            raise InputError(
                f"{root}: two files have the id {twice.iloc[0]!r}; rename or remove one"
            )

    def read(self, row: int) -> UInt8Array:
        """Read the file of one patch; see :meth:`Source.read`."""
        return read_patch(f"{self.root}/{self.table['path'].iat[row]}")

    def fingerprint(self) -> str:
        """Hash of the table and of every file's size and time of change."""
        digest = hashlib.sha256()
        digest.update(self.table.to_csv(index=False).encode())
        for name in self.table["path"]:
            try:
                state = (self.root / name).stat()
            except OSError:
                digest.update(b"?")
                continue
            digest.update(f"{state.st_size}.{state.st_mtime_ns}".encode())
        return digest.hexdigest()


def open_source(path: Path) -> Source:
    """Open what a user has: Kaggle's layout, class folders, a folder of images, or one image.

    Raises:
        MissingInputError: There is nothing at ``path``.
        InputError: It is none of these, or its parts contradict each other.
    """
    if not path.exists():
        raise MissingInputError(f"no folder {path}")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} is no image file; expected {_expected()}")
        return FileSource("image", path.parent, _items(path.parent, [path]))
    if (path / LABELS_FILE).is_file():
        return _kaggle(path)
    folders = [p for p in sorted(path.iterdir()) if p.is_dir()]
    if any(p.name.lower() in FOLD_NAMES for p in folders):
        return _folds(path, folders)
    if any(p.name.lower() in CLASS_NAMES for p in folders):
        return FileSource("class-folders", path, _classes(path, folders))
    images = list(_images(path))
    if not images:
        raise InputError(f"{path} holds no patches; expected {_expected()}")
    return FileSource("images", path, _items(path, images))


def _expected() -> str:
    return (
        f"Kaggle's layout (train/, {LABELS_FILE}), class folders (0/ and 1/, or normal/ and "
        "tumor/, with or without train/ valid/ test/ above), or images "
        f"({', '.join(sorted(SUFFIXES))})"
    )


def _images(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
            yield entry


def _items(root: Path, paths: list[Path], **same: Any) -> pd.DataFrame:
    relative = [p.relative_to(root) for p in paths]
    frame = pd.DataFrame(
        {
            "id": pd.array([p.with_suffix("").as_posix() for p in relative], dtype="string"),
            "path": pd.array([p.as_posix() for p in relative], dtype="string"),
        }
    )
    return frame.assign(**same)


def _classes(root: Path, folders: list[Path], fold: str | None = None) -> pd.DataFrame:
    """List class folders; a class folder may itself hold folders."""
    parts = []
    for folder in folders:
        if folder.name.lower() not in CLASS_NAMES:
            raise InputError(
                f"{folder} is no class that is known; expected one of {', '.join(CLASS_NAMES)}"
            )
        images = list(_images(folder))
        if not images:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
        label = CLASS_NAMES[folder.name.lower()]
        parts.append(_items(root, images, label=label, source_fold=fold))
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
            parts.append(_items(root, images, source_fold=fold))
        else:
            raise InputError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return FileSource("class-folders", root, pd.concat(parts, ignore_index=True))


def _kaggle(root: Path) -> Source:
    labels = read_labels(root / LABELS_FILE)
    if not (root / "train").is_dir():
        raise MissingInputError(f"{root} has {LABELS_FILE} but no folder train/ with its images")
    train = _items(root, list(_images(root / "train")))
    if not len(train):
        raise InputError(f"{root / 'train'} holds no images, {LABELS_FILE} names {len(labels):,}")
    train["id"] = train["id"].str.removeprefix("train/")
    train["label"] = train["id"].map(labels)
    train["problem"] = train["label"].map(
        lambda label: f"no label in {LABELS_FILE}" if pd.isna(label) else pd.NA
    )
    known = train["label"].notna().sum()
    if not known:
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
        test = _items(root, list(_images(root / "test")), source_fold="test")
        test["id"] = test["id"].str.removeprefix("test/")
        parts.append(test)
    return FileSource("kaggle", root, _with_slides(root, pd.concat(parts, ignore_index=True)))


def _with_slides(root: Path, table: pd.DataFrame) -> pd.DataFrame:
    found = [p for pattern in SLIDE_MAPS for p in sorted(root.glob(pattern))]
    if not found:
        return table
    slides = read_slide_map(found[0])
    return table.join(slides, on="id")
