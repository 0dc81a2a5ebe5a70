"""The manifest: one row per patch of a packed set, in the order of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.core import hash_bytes
from sentinode.errors import InputError
from sentinode.tables.frames import read_parquet, typed, write_parquet

__all__ = ["MANIFEST_DTYPES", "Manifest"]

MANIFEST_DTYPES: dict[str, str] = {
    "id": "string",  # unique
    "path": "string",  # where it came from, below the source's root
    "label": "Int8",  # 0, 1 or null
    "slide": "string",
    "patient": "string",
    "centre": "string",
    "x": "Int64",  # level-0 px of the patch's top left corner
    "y": "Int64",
    "source_fold": "string",  # train, valid, test as the source has it, or null
    "sha256": "string",  # of the pixels; null where they could not be read
    "min": "UInt8",  # over all pixels and channels
    "max": "UInt8",
    "mean_r": "float32",  # of the uint8 values, 0..255
    "mean_g": "float32",
    "mean_b": "float32",
    "std_r": "float32",
    "std_g": "float32",
    "std_b": "float32",
    "saturation": "float32",  # HSV of the coarse look, mean, 0..1
    "sharpness": "float32",  # variance of the Laplacian of the luma
    "tissue": "float32",  # share of stained pixels, 0..1
    "problem": "string",  # why packing put the patch aside (its image is then zeros), or null
    "group": "string",  # id of the first patch of its group of copies, or null; by the audit
    "remarks": "string",  # every rule of the audit that the patch meets, or null
    "excluded": "string",  # those of them for which the audit leaves it out, or null
}


@final
@dataclass(frozen=True)
class Manifest:
    """One row per patch; row ``i`` is about image ``i`` of the packed set.

    Attributes:
        frame: Columns and dtypes of :data:`MANIFEST_DTYPES`, index 0..N-1.
        note: What made it, as JSON values.
    """

    frame: pd.DataFrame
    note: Mapping[str, Any]

    @classmethod
    def make(cls, frame: pd.DataFrame, note: Mapping[str, Any]) -> Manifest:
        """Check and type a table; columns that are missing become null.

        Raises:
            InputError: An id is missing or stands twice, or a label is not 0, 1 or null.
        """
        table = typed(frame, MANIFEST_DTYPES, "manifest")
        if table["id"].isna().any():
            raise InputError("manifest: a patch has no id")
        twice = table["id"][table["id"].duplicated()]
        if len(twice):
            raise InputError(f"manifest: id {twice.iloc[0]!r} stands more than once")
        wrong = table["label"].dropna()
        wrong = wrong[~wrong.isin([0, 1])]
        if len(wrong):
            raise InputError(f"manifest: label {wrong.iloc[0]} is not 0 or 1")
        return cls(table, note)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read ``manifest.parquet``; errors as of :meth:`make` and of a damaged file."""
        frame, note = read_parquet(path, "manifest")
        return cls.make(frame, note)

    def write(self, path: Path) -> None:
        """Write ``manifest.parquet``, whole or not at all."""
        write_parquet(path, self.frame, self.note)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Boolean (N,): neither put aside by packing nor left out by the audit."""
        return (self.frame["problem"].isna() & self.frame["excluded"].isna()).to_numpy(bool)

    @property
    def hash(self) -> str:
        """SHA-256 over what a split and a training depend on, row order included."""
        columns = ["id", "label", "slide", "source_fold", "sha256", "problem", "group", "excluded"]
        rows = self.frame[columns].astype("string").fillna("")
        joined = rows[columns[0]].str.cat(rows[columns[1:]], sep="\x1f")
        return hash_bytes("\x1e".join(joined).encode())

    def row_of(self, patch_id: str) -> int:
        """Return the row of an id.

        Raises:
            InputError: There is no such id; the message names the nearest ones.
        """
        rows = np.flatnonzero((self.frame["id"] == patch_id).to_numpy(bool))
        if len(rows):
            return int(rows[0])
        near = self.frame["id"][self.frame["id"].str.startswith(patch_id[:6])].head(3).tolist()
        hint = f"; ids that start alike: {', '.join(near)}" if near else ""
        raise InputError(f"no patch {patch_id!r} among {len(self):,}{hint}")
