"""Patches read from a source's files in the order of its table, ahead of the network."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.data import PatchProblem, Source
from sentinode.types import UInt8Array

__all__ = ["Reading"]


@final
class Reading:
    """Reads patches of a source in batches; what cannot be used is noted and left out.

    Args:
        source: Where they are.
        rows: int64 (N,), the patches wanted, as rows of the source's table.
        size: Side in px that a patch must have.

    Attributes:
        kept: Rows read so far that could be used.
        left_out: Why a patch could not be used, by its id.
    """

    def __init__(self, source: Source, rows: NDArray[np.int64], size: int) -> None:
        self._source, self._rows, self._size = source, rows, size
        self._digest = hashlib.sha256()
        self.kept: list[int] = []
        self.left_out: dict[str, str] = {}

    @property
    def content_hash(self) -> str:
        """SHA-256 over the ids and pixels of all patches kept so far."""
        return self._digest.hexdigest()

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """Yield uint8 tensors (B, H, W, 3), decoding one batch ahead in threads."""
        with ThreadPoolExecutor(thread_name_prefix="reading") as pool:
            coming: deque[list[tuple[int, Future[UInt8Array]]]] = deque()
            for start in range(0, len(self._rows), batch_size):
                rows = self._rows[start : start + batch_size].tolist()
                coming.append([(row, pool.submit(self._read, row)) for row in rows])
                if len(coming) > 1:
                    yield from self._stacked(coming.popleft())
            for rest in coming:
                yield from self._stacked(rest)

    def _read(self, row: int) -> UInt8Array:
        problem = self._source.table["problem"].iloc[row]
        if isinstance(problem, str):
            raise PatchProblem(problem)
        patch = self._source.read(row)
        height, width = patch.shape[:2]
        if (height, width) != (self._size, self._size):
            raise PatchProblem(
                f"wrong size: {width}x{height} px, the network takes {self._size}x{self._size}"
            )
        return patch

    def _stacked(self, batch: list[tuple[int, Future[UInt8Array]]]) -> Iterator[Tensor]:
        patches = []
        for row, future in batch:
            name = self._source.table["id"].iloc[row]
            try:
                patch = future.result()
            except PatchProblem as problem:
                self.left_out[name] = str(problem)
                continue
            self._digest.update(name.encode() + b"\0" + patch.tobytes())
            self.kept.append(row)
            patches.append(patch)
        if patches:
            yield torch.from_numpy(np.stack(patches))
