"""Reading many patches in parallel: each chunk goes from files to images and their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from sentinode.core import Workers, cores, keep_freed_memory
from sentinode.data.decode import PatchProblem
from sentinode.data.source import Source
from sentinode.data.statistics import STATISTICS_DTYPES, measure
from sentinode.tables import COARSE_FILE, IMAGES_FILE
from sentinode.types import UInt8Array

__all__ = ["Chunk", "Task", "readers"]

TOGETHER = 32  # patches measured at once: fewer calls, and arrays that still fit in the caches
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
        folder: Where images.npy and coarse.npy are already, with room for every patch.
        size: Side of a patch in px.
        resize: Whether patches of another size are resized, or put aside.
    """

    source: Source
    folder: Path
    size: int
    resize: bool


def readers(count: int, chunks: int, workers: int) -> Workers[Task, Chunk, pd.DataFrame]:
    """Return the processes that read patches together, not yet started.

    Args:
        count: Number of patches.
        chunks: Number of chunks that they are read in.
        workers: Processes; 0 takes all cores.
    """
    return Workers(_read_chunk, 1 if count < FEW else min(workers or cores(), chunks))


def _read_chunk(task: Task, chunk: Chunk) -> pd.DataFrame:
    keep_freed_memory()
    coarse: UInt8Array = np.load(task.folder / COARSE_FILE, mmap_mode="r+")
    said = task.source.table["problem"].iloc[chunk.first : chunk.stop].tolist()
    known = [why if isinstance(why, str) else None for why in said]
    measured: list[dict[str, NDArray[Any]]] = []
    problems: list[str | None] = []
    few = np.empty((TOGETHER, task.size, task.size, 3), np.uint8)
    with _at_row(task.folder / IMAGES_FILE, chunk.first) as images:
        for first in range(chunk.first, chunk.stop, TOGETHER):
            stop = min(first + TOGETHER, chunk.stop)
            patches = few[: stop - first]
            problems += [
                _read_into(patches[row - first], task, row, known[row - chunk.first])
                for row in range(first, stop)
            ]
            numbers, coarse[first:stop] = measure(patches)
            images.write(patches.data)
            measured.append(numbers)
    aside = np.array([problem is not None for problem in problems])
    table = pd.DataFrame(
        {name: np.concatenate([m[name] for m in measured]) for name in STATISTICS_DTYPES}
    ).astype(STATISTICS_DTYPES)
    table[aside] = pd.NA
    return table.assign(problem=pd.array(problems, dtype="string"))


@contextmanager
def _at_row(path: Path, row: int) -> Iterator[BinaryIO]:
    """Open an array file for writing from a row on: to a new file faster than through a map."""
    array = np.load(path, mmap_mode="r")
    with path.open("r+b") as handle:
        handle.seek(array.offset + row * array[:1].nbytes)
        yield handle


def _read_into(patch: UInt8Array, task: Task, row: int, reason: str | None) -> str | None:
    """Read one patch into its place; return why it cannot be used, its place then zeros.

    Args:
        patch: Its place, uint8 (H, W, 3).
        task: What to read.
        row: Which patch.
        reason: Why it is known beforehand not to be usable, None where it may be.
    """
    if reason is None:
        try:
            patch[...] = _fit(task.source.read(row), task)
        except PatchProblem as problem:
            reason = str(problem)
    if reason is not None:
        patch[...] = 0
    return reason


def _fit(patch: UInt8Array, task: Task) -> UInt8Array:
    height, width, _ = patch.shape
    if height == width == task.size:
        return patch
    if task.resize:
        resized = Image.fromarray(patch).resize((task.size, task.size), Image.Resampling.LANCZOS)
        return np.asarray(resized)
    raise PatchProblem(f"wrong size: {width}x{height} px, the set has {task.size}x{task.size}")
