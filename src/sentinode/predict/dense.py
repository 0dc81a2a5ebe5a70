"""The logit at every position of a region, each as the patch alone would give it.

A dense-exact network computes what neighbouring patches share once. One that pads with zeros
cannot: within a region there is tissue where at the patch's border there were zeros, so that its
patches are cut out and computed one by one.
"""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from sentinode.data.loader import to_input
from sentinode.errors import InputError
from sentinode.models import (
    Compute,
    DenseNetwork,
    Run,
    choose_compute,
    deterministic,
    folded,
    out_of_memory,
)
from sentinode.types import UInt8Array

__all__ = ["Dense"]


@final
class Dense:
    """A network ready for large regions.

    Args:
        run: The network.
        stride: Pixels between neighbouring positions.
        compute: Device and precision; by default the fastest there is.
        tile: Positions computed at once in each direction, by a dense-exact network.
        batch_size: Patches at once, otherwise.

    Attributes:
        said: How the network is run, in a sentence, where it is not densely; else empty.

    Raises:
        InputError: The stride does not suit the network.
        CheckpointError: The run's weights are damaged.
    """

    def __init__(
        self,
        run: Run,
        stride: int,
        compute: Compute | None = None,
        tile: int = 24,
        batch_size: int = 32,
    ) -> None:
        self.spec, self.stride = run.spec, stride
        self.compute = compute or choose_compute("auto", "auto")
        self._network = folded(run.load())
        self.compute.place(self._network)
        self._tile, self._batch_size = tile, batch_size
        self.size = run.spec.preprocess.size
        self.said = ""
        if not (run.spec.dense_exact and isinstance(self._network, DenseNetwork)):
            self.said = (
                f"{run.spec.name} runs patch by patch, several times slower than a network that "
                "runs densely: its convolutions pad with zeros, which are at a patch's border and "
                "not within a region, so that a region computed at once would give other results"
            )
        elif stride % self._network.stride:
            raise InputError(
                f"{run.spec.name} computes every {self._network.stride}th pixel: expected a "
                f"stride that is a multiple of it, got {stride}"
            )

    def logits(self, region: UInt8Array) -> NDArray[np.float32]:
        """Compute all patches of a region whose upper left corners lie on the grid.

        Args:
            region: uint8 (H, W, 3), RGB at the network's scale, any size from one patch on.

        Returns:
            float32 ((H - size) // stride + 1, (W - size) // stride + 1), log odds of tumour: at
            (i, j) of the patch whose corner lies at (stride i, stride j) px.

        Raises:
            InputError: The region is smaller than a patch, or not even one patch fits in memory.
        """
        height, width = region.shape[:2]
        if min(height, width) < self.size:
            raise InputError(
                f"expected a region of at least {self.size}x{self.size} px, got {width}x{height}"
            )
        rows, columns = ((side - self.size) // self.stride + 1 for side in (height, width))
        logits = np.empty((rows, columns), np.float32)
        with torch.inference_mode(), deterministic(self.compute), self.compute.autocast():
            row = 0
            while row < rows:
                # a tile that does not fit in memory makes this and all later ones smaller
                row += self._rows(region, logits, row)
        return logits

    def _rows(self, region: UInt8Array, logits: NDArray[np.float32], row: int) -> int:
        """Compute one row of tiles from ``row`` on; return how many rows of positions it has."""
        side, stride = self._tile, self.stride
        try:
            for column in range(0, logits.shape[1], side):
                out = logits[row : row + side, column : column + side]
                top, left = row * stride, column * stride
                bottom = top + (out.shape[0] - 1) * stride + self.size
                right = left + (out.shape[1] - 1) * stride + self.size
                out[:] = self._part(region[top:bottom, left:right])
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if self._tile == 1 and self._batch_size == 1:
                raise InputError(
                    f"one patch of {self.spec.name} does not fit in memory; "
                    "free some or take --set slide.device=cpu"
                ) from error
            self._tile, self._batch_size = max(1, side // 2), max(1, self._batch_size // 2)
            return 0
        return min(side, len(logits) - row)

    def _part(self, region: UInt8Array) -> NDArray[np.float32]:
        if not self.said:
            network = self._network
            assert isinstance(network, DenseNetwork)
            return self._numbers(network.dense(self._input(region[None]), self.stride)[0])
        size, stride = self.size, self.stride
        views = sliding_window_view(region, (size, size), axis=(0, 1))[::stride, ::stride]
        rows, columns = views.shape[:2]
        patches = views.reshape(rows * columns, 3, size, size).transpose(0, 2, 3, 1)
        parts = [
            self._numbers(self._network(self._input(patches[i : i + self._batch_size])))
            for i in range(0, len(patches), self._batch_size)
        ]
        return np.concatenate(parts).reshape(rows, columns)

    def _input(self, images: UInt8Array) -> Tensor:
        batch = torch.from_numpy(np.array(images)).to(self.compute.device)
        return to_input(batch, self.spec.preprocess)

    def _numbers(self, logits: Tensor) -> NDArray[np.float32]:
        numbers: NDArray[np.float32] = logits.float().cpu().numpy()
        return numbers
