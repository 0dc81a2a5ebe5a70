"""From a packed set's images to what a network takes; the only module of `data` with PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.types import Preprocess

__all__ = ["batches", "epoch_order", "resident", "to_input"]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch takes ``n`` patches, from nothing but its arguments."""
    return np.random.default_rng((seed, epoch)).permutation(n)


def resident(images: NDArray[Any], device: torch.device) -> NDArray[Any] | Tensor:
    """Copy a set to a GPU where it takes at most half of the free memory, else leave it."""
    if device.type != "cuda" or images.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return images
    kind = torch.from_numpy(images[:0].copy()).dtype
    copied = torch.empty(images.shape, dtype=kind, device=device)
    for start in range(0, len(images), 4096):
        copied[start : start + 4096] = torch.from_numpy(images[start : start + 4096].copy())
    return copied


def batches(
    images: NDArray[Any] | Tensor, rows: NDArray[np.int64], batch_size: int
) -> Iterator[Tensor]:
    """Read patches in the order of ``rows``, one batch ahead of the one that is used.

    Args:
        images: uint8 (N, H, W, 3), RGB, or features, float32 (N, F); memory-mapped, or as
            :func:`resident` gives them.
        rows: int64 (M,), the patches wanted.
        batch_size: Patches in a batch; the last one may be smaller.

    Yields:
        Tensors (B, H, W, 3) or (B, F), where ``images`` are.
    """
    if isinstance(images, Tensor):
        places = torch.from_numpy(rows).to(images.device)
        for start in range(0, len(rows), batch_size):
            yield images[places[start : start + batch_size]]
        return

    def read(start: int) -> Tensor:
        return torch.from_numpy(images[rows[start : start + batch_size]])

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as reader:
        waiting = None
        for start in range(0, len(rows), batch_size):
            coming = reader.submit(read, start)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def to_input(batch: Tensor, preprocess: Preprocess) -> Tensor:
    """Turn patches into a network's input.

    Args:
        batch: uint8 (B, H, W, 3), RGB, on any device; float (B, F), features of patches, are
            input as they are.
        preprocess: Of the network.

    Returns:
        float32 (B, C, H, W) in channels-last order, ``(uint8 / 255 - mean) / std``; C is 3, or 1
        for gray.
    """
    if batch.ndim == 2:
        return batch.float()
    values = batch.permute(0, 3, 1, 2).float()
    if preprocess.channels == "gray":
        weights = torch.tensor(LUMA, device=batch.device).view(1, 3, 1, 1)
        values = (values * weights).sum(1, keepdim=True).round()
    mean = torch.tensor(preprocess.mean, device=batch.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocess.std, device=batch.device).view(1, -1, 1, 1)
    values = (values / 255 - mean) / std
    return values.contiguous(memory_format=torch.channels_last)
