"""Patches read ahead of the network, from a packed set or from a source's files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import cores
from sentinode.data import PatchProblem, Source
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["Batch", "PackedReading", "Reading", "SourceReading", "ahead"]

Task = TypeVar("Task")
Result = TypeVar("Result")


@final
@dataclass(frozen=True)
class Batch:
    """Patches that were read together.

    Attributes:
        rows: int64 (K,), those that can be used.
        patches: uint8 (K, H, W, 3), RGB.
        left_out: Why others cannot, by id.
        digests: SHA-256 over id and pixels of each of these patches, where nothing else stands
            for them.
    """

    rows: NDArray[np.int64]
    patches: UInt8Array
    left_out: dict[str, str] = field(default_factory=dict)
    digests: bytes = b""


class Reading(ABC):
    """Patches wanted of something.

    Attributes:
        rows: int64 (N,), the patches wanted.
        fingerprint: Changes when any of them does.
    """

    rows: NDArray[np.int64]
    fingerprint: str

    @abstractmethod
    def read(self, rows: NDArray[np.int64]) -> Batch:
        """Read some of :attr:`rows`; called in threads."""


@final
class PackedReading(Reading):
    """Patches of a packed set."""

    def __init__(self, packed: PackedSet, rows: NDArray[np.int64]) -> None:
        self._images, self.rows = packed.images, rows
        self.fingerprint = packed.meta.content_hash

    def read(self, rows: NDArray[np.int64]) -> Batch:
        """As :meth:`Reading.read`; every patch can be used."""
        return Batch(rows, self._images[rows])


@final
class SourceReading(Reading):
    """Patches of a source; what cannot be used is left out with the reason.

    Args:
        source: Where they are.
        rows: As rows of the source's table.
        size: Side in px that a patch must have.
    """

    def __init__(self, source: Source, rows: NDArray[np.int64], size: int) -> None:
        self._source, self.rows, self._size = source, rows, size
        # lists: to ask the table costs more than to read a small file
        self._names: list[str] = source.table["id"].tolist()
        self._problems: list[object] = source.table["problem"].tolist()
        self.fingerprint = source.fingerprint()

    def read(self, rows: NDArray[np.int64]) -> Batch:
        """As :meth:`Reading.read`."""
        kept: list[int] = []
        patches: list[UInt8Array] = []
        digests, left_out = bytearray(), {}
        for row in rows.tolist():
            name = self._names[row]
            try:
                patch = self._read(row)
            except PatchProblem as problem:
                left_out[name] = str(problem)
                continue
            digests += hashlib.sha256(name.encode() + b"\0" + patch.tobytes()).digest()
            kept.append(row)
            patches.append(patch)
        none = np.empty((0, self._size, self._size, 3), np.uint8)
        stacked = np.stack(patches) if patches else none
        return Batch(np.array(kept, np.int64), stacked, left_out, bytes(digests))

    def _read(self, row: int) -> UInt8Array:
        problem = self._problems[row]
        if isinstance(problem, str):
            raise PatchProblem(problem)
        patch = self._source.read(row)
        height, width = patch.shape[:2]
        if (height, width) != (self._size, self._size):
            raise PatchProblem(
                f"wrong size: {width}x{height} px, the network takes {self._size}x{self._size}"
            )
        return patch


def ahead(read: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
    """Do tasks in threads, a few ahead of the one whose result is used; in their order."""
    threads = cores()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
    try:
        coming: deque[tuple[Task, Future[Result]]] = deque()
        for task in tasks:
            coming.append((task, pool.submit(read, task)))
            if len(coming) > threads + 1:
                first, future = coming.popleft()
                yield first, future.result()
        while coming:
            first, future = coming.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
