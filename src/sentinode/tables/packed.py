"""A packed set on disk: images, their coarse look, manifest and meta data in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode.core import Provenance, first_fault, read_json
from sentinode.errors import InputError, MissingInputError
from sentinode.tables.manifest import Manifest
from sentinode.types import UInt8Array

__all__ = ["COARSE_FILE", "COARSE_SIDE", "IMAGES_FILE", "SET_FORMAT", "PackedSet", "SetMeta"]

SET_FORMAT = 2
IMAGES_FILE = "images.npy"
COARSE_FILE = "coarse.npy"
COARSE_SIDE = 8


class SetMeta(BaseModel):
    """What ``meta.json`` says of a packed set.

    Attributes:
        format: Version of the layout on disk.
        kind: Kind of the source, as in "kaggle".
        count: Number of patches.
        size: Side of a patch in px.
        mpp: µm/px where the source says it, else None.
        content_hash: SHA-256 over the ids, the labels and the pixels' hashes, in order.
        provenance: What made the set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2]
    kind: str
    count: int
    size: int
    mpp: float | None
    content_hash: str
    provenance: Provenance


@final
@dataclass(frozen=True)
class PackedSet:
    """A packed set: memory-mapped images and their manifest.

    Attributes:
        folder: Where it lies.
        meta: What it is.
        manifest: One row per patch.
        images: uint8 (N, size, size, 3), RGB, memory-mapped and read-only.
        coarse: uint8 (N, 8, 8, 3), the means of the fields of an 8x8 grid over each patch.
    """

    folder: Path
    meta: SetMeta
    manifest: Manifest
    images: UInt8Array
    coarse: UInt8Array

    @classmethod
    def open(cls, folder: Path) -> PackedSet:
        """Open a packed set.

        Raises:
            MissingInputError: The folder or one of its four files is not there.
            InputError: A file is damaged, or they do not belong together.
        """
        _need(folder, "meta.json")
        values = read_json(folder / "meta.json")
        found = values.get("format") if isinstance(values, dict) else None
        if found != SET_FORMAT:
            raise InputError(
                f"{folder} was packed in format {found}, this version reads format {SET_FORMAT}; "
                "pack the source again"
            )
        try:
            meta = SetMeta.model_validate(values)
        except ValidationError as error:
            fault = first_fault(error)
            raise InputError(f"{folder / 'meta.json'} is damaged: {fault}") from error
        manifest = Manifest.read(_need(folder, "manifest.parquet"))
        if len(manifest) != meta.count:
            raise InputError(
                f"{folder}: the manifest has {len(manifest)} rows, expected {meta.count}; "
                "pack the source again"
            )
        images = _mapped(_need(folder, IMAGES_FILE), meta.count, meta.size)
        coarse = _mapped(_need(folder, COARSE_FILE), meta.count, COARSE_SIDE)
        return cls(folder, meta, manifest, images, coarse)


def _need(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise MissingInputError(
            f"{folder} is not a packed set: {name} is missing; "
            f"make one with: sentinode pack SOURCE --out {folder}"
        )
    return folder / name


def _mapped(path: Path, count: int, side: int) -> UInt8Array:
    try:
        images: UInt8Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}; pack the source again") from error
    expected = (count, side, side, 3)
    if images.shape != expected or images.dtype != np.uint8:
        raise InputError(
            f"{path} is {images.dtype} {images.shape}, expected uint8 {expected}; "
            "pack the source again"
        )
    return images
