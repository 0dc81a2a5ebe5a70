"""Reading many patches in parallel: each chunk goes from files to images and their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from PIL import Image

from sentinode.core import hash_bytes, spread
from sentinode.data.decode import PatchProblem
from sentinode.data.sources import Source
from sentinode.types import UInt8Array

__all__ = ["Chunk", "Task", "read_chunks"]

FEW = 4096  # below this a worker's start costs more than it saves


@final
@dataclass(frozen=True)
class Chunk:
    """Rows ``first`` up to, not including, ``stop``."""

    first: int
    stop: int


@final
@dataclass(frozen=True)
class Task:
    """What every worker needs.

    Attributes:
        source: Where patches come from.
        images: A .npy file of uint8 (N, size, size, 3) that is there already.
        size: Side of a patch in px.
        resize: Whether patches of another size are resized, or put aside.
    """

    source: Source
    images: Path
    size: int
    resize: bool


def read_chunks(
    task: Task, chunks: Sequence[Chunk], workers: int
) -> Iterator[tuple[Chunk, pd.DataFrame]]:
    """Read chunks into the images file and yield each with its statistics, as they finish.

    Args:
        task: What to read.
        chunks: Which rows.
        workers: Processes; 0 takes all cores.
    """
    few = sum(c.stop - c.first for c in chunks) < FEW
    yield from spread(_read_chunk, task, chunks, 1 if few else workers)


def _read_chunk(task: Task, chunk: Chunk) -> pd.DataFrame:
    images: UInt8Array = np.load(task.images, mmap_mode="r+")
    known = task.source.table["problem"].astype(object).where(lambda p: p.notna(), None).tolist()
    rows: list[dict[str, Any]] = []
    for row in range(chunk.first, chunk.stop):
        reason = known[row]
        if reason is None:
            try:
                patch = _fit(task.source.read(row), task)
                images[row] = patch
                rows.append(_statistics(patch))
                continue
            except PatchProblem as problem:
                reason = str(problem)
        images[row] = 0
        rows.append({"problem": reason})
    return pd.DataFrame(rows, columns=[*_COLUMNS, "problem"]).astype(
        _COLUMNS | {"problem": "string"}
    )


_COLUMNS = {"sha256": "string", "min": "UInt8", "max": "UInt8"} | {
    f"{what}_{channel}": "float32" for what in ("mean", "std") for channel in "rgb"
}


def _fit(patch: UInt8Array, task: Task) -> UInt8Array:
    height, width, _ = patch.shape
    if height == width == task.size:
        return np.ascontiguousarray(patch)
    if task.resize:
        resized = Image.fromarray(patch).resize((task.size, task.size), Image.Resampling.LANCZOS)
        return np.asarray(resized)
    raise PatchProblem(f"wrong size: {width}x{height} px, the set has {task.size}x{task.size}")


def _statistics(patch: UInt8Array) -> dict[str, Any]:
    """Hash, extremes, mean and standard deviation of one patch.

    Sums of integers below 2^53 are exact in float64, so that their order does not matter and
    every machine gets the same.
    """
    values = patch.reshape(-1, 3).astype(np.float64)
    ones = np.ones(len(values))
    mean = ones @ values / len(values)
    square = ones @ (values * values) / len(values)
    std = np.sqrt(np.maximum(square - mean * mean, 0))
    return {
        "sha256": hash_bytes(patch.data),
        "min": int(patch.min()),
        "max": int(patch.max()),
        **{f"mean_{c}": mean[i] for i, c in enumerate("rgb")},
        **{f"std_{c}": std[i] for i, c in enumerate("rgb")},
    }
