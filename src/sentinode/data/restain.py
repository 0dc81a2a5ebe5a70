"""A packed set in the colours of a target, as a source to pack again."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np

from sentinode.core import hash_json
from sentinode.data.decode import PatchProblem, read_patch
from sentinode.data.source import ITEM_COLUMNS, Source, fingerprint
from sentinode.errors import InputError, MissingInputError
from sentinode.stain import StainTarget, common_target, fit_target, normalise
from sentinode.stain.target import Normaliser
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["RestainedSource", "stain_target"]

PATCHES_OF_TARGET = 64


@final
class RestainedSource(Source):
    """The patches of a packed set, brought to the look of a target.

    Args:
        packed: The set.
        target: The look.
    """

    def __init__(self, packed: PackedSet, target: StainTarget) -> None:
        self.kind, self.mpp = f"{packed.meta.kind}, {target.method}", packed.meta.mpp
        self.table = packed.manifest.frame[list(ITEM_COLUMNS)].copy()
        self._images, self._target = packed.folder, target
        self._hash = packed.meta.content_hash
        self._packed: PackedSet | None = None

    def read(self, row: int) -> UInt8Array:
        """Return one patch in its new colours; see :meth:`Source.read`."""
        if self._packed is None:
            self._packed = PackedSet.open(self._images)
        patch: UInt8Array = normalise(np.asarray(self._packed.images[row : row + 1]), self._target)[
            0
        ]
        return patch

    def fingerprint(self) -> str:
        """Hash of the set's content, of what is known of its patches, and of the target."""
        known = {"table": fingerprint(self.table, []), "mpp": self.mpp}
        target = self._target.model_dump(mode="json")
        return hash_json({"set": self._hash, "target": target} | known)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_packed": None}


def stain_target(path: Path, method: Normaliser) -> StainTarget:
    """Measure the look of an image, or of a packed set by the medians of 64 patches with tissue.

    Raises:
        MissingInputError: There is nothing at ``path``.
        InputError: It cannot be read or shows too little tissue.
    """
    if not path.exists():
        raise MissingInputError(f"no image or packed set {path}")
    try:
        if path.is_dir():
            return common_target(_of_set(path), method)
        return fit_target(read_patch(path)[None], method)
    except (PatchProblem, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def _of_set(path: Path) -> UInt8Array:
    packed = PackedSet.open(path)
    rows = np.flatnonzero(packed.manifest.usable)
    if not len(rows):
        raise InputError("none of its patches is usable; give another target")
    tissue = packed.manifest.frame["tissue"].to_numpy(float, na_value=0.0)[rows]
    well = rows[tissue >= np.median(tissue)]
    picks = np.unique(np.linspace(0, len(well) - 1, PATCHES_OF_TARGET).astype(int))
    return np.asarray(packed.images[well[picks]])
