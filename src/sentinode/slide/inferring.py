"""The network over a slide's tissue, tiles being read ahead while it works."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from sentinode.predict.dense import Dense
from sentinode.slides import Grid, Slide
from sentinode.types import UInt8Array

__all__ = ["Times", "infer"]

AHEAD = 2  # tiles read ahead by each thread


@final
@dataclass
class Times:
    """Seconds that a slide took, by what they went to.

    Attributes:
        reading: That the network waited for a tile.
        masking: Reading the overview and finding tissue.
        inferring: The network.
        writing: All outputs.
    """

    reading: float = 0.0
    masking: float = 0.0
    inferring: float = 0.0
    writing: float = 0.0


@final
@dataclass(frozen=True)
class _Tile:
    """Positions ``[top:bottom, left:right]`` of the grid."""

    top: int
    left: int
    bottom: int
    right: int


def infer(
    slide: Slide,
    grid: Grid,
    wanted: NDArray[np.bool_],
    dense: Dense,
    *,
    tile: int,
    readers: int,
    times: Times,
    done: Callable[[int], None] = lambda n: None,
) -> NDArray[np.float32]:
    """Return the logit at each wanted position.

    Args:
        slide: Open.
        grid: Its positions.
        wanted: bool (rows, columns).
        dense: The network.
        tile: Positions of a tile in each direction.
        readers: Threads that read.
        times: Is added to.
        done: Called with the number of positions computed.

    Returns:
        float32 (rows, columns), NaN where not wanted.

    Raises:
        InputError: The slide cannot be read, or memory is short.
    """
    logits = np.full(wanted.shape, np.nan, np.float32)

    def read(part: _Tile) -> UInt8Array:
        size = grid.extent(part.right - part.left), grid.extent(part.bottom - part.top)
        return slide.read(*grid.patch_corner(part.top, part.left), *size, grid.mpp)

    pool = ThreadPoolExecutor(readers, thread_name_prefix="reading")
    try:
        coming: deque[tuple[_Tile, Future[UInt8Array]]] = deque()
        tiles = _tiles(wanted, tile)
        for part in tiles:
            coming.append((part, pool.submit(read, part)))
            if len(coming) > AHEAD * readers:
                _compute(*coming.popleft(), dense, wanted, logits, times, done)
        while coming:
            _compute(*coming.popleft(), dense, wanted, logits, times, done)
    finally:
        pool.shutdown(cancel_futures=True)
    return logits


def _compute(
    part: _Tile,
    reading: Future[UInt8Array],
    dense: Dense,
    wanted: NDArray[np.bool_],
    logits: NDArray[np.float32],
    times: Times,
    done: Callable[[int], None],
) -> None:
    start = time.perf_counter()
    pixels = reading.result()
    there = time.perf_counter()
    here = np.s_[part.top : part.bottom, part.left : part.right]
    logits[here] = np.where(wanted[here], dense.logits(pixels), np.nan)
    times.reading += there - start
    times.inferring += time.perf_counter() - there
    done(int(wanted[here].sum()))


def _tiles(wanted: NDArray[np.bool_], side: int) -> Iterator[_Tile]:
    """Cut the grid into tiles, each drawn together to what is wanted in it."""
    rows, columns = wanted.shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            inside = wanted[top : top + side, left : left + side]
            down, across = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            if len(down):
                yield _Tile(
                    top + int(down[0]),
                    left + int(across[0]),
                    top + int(down[-1]) + 1,
                    left + int(across[-1]) + 1,
                )
