"""Patches that are the same tissue: equal pixels, as they lie or turned and flipped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sentinode.core import hash_bytes
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["orientation_groups", "orientations"]

UNTURNED = ["min", "max", "mean_r", "mean_g", "mean_b", "std_r", "std_g", "std_b"]
"""Statistics that turning and flipping leave exactly as they are."""


def orientations(patch: UInt8Array) -> Iterator[UInt8Array]:
    """Yield a patch (H, W, 3) in its eight orientations, as it lies first."""
    for flipped in (patch, patch[:, ::-1]):
        for turns in range(4):
            yield np.rot90(flipped, turns)


def orientation_groups(packed: PackedSet) -> NDArray[np.int64]:
    """Find patches with the same pixels in one of the eight orientations.

    Only patches whose statistics are the same to the last bit are compared, so that a set of any
    size costs little more than its duplicates.

    Args:
        packed: The set.

    Returns:
        int64 (N,): for each patch the first row with the same pixels, its own where it has no
        duplicate or was put aside.
    """
    frame = packed.manifest.frame
    first = np.arange(len(frame), dtype=np.int64)
    readable = frame[frame["problem"].isna()]
    alike = readable[readable.duplicated(UNTURNED, keep=False)]
    seen: dict[str, int] = {}
    for row in alike.index.tolist():
        key = min(hash_bytes(turned.tobytes()) for turned in orientations(packed.images[row]))
        first[row] = seen.setdefault(key, row)
    return first
