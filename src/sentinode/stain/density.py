"""Optical density: the space in which stains add up (Beer and Lambert)."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array, is_torch_array

from sentinode.core import cores, keep_freed_memory

__all__ = [
    "BACKGROUND",
    "check_images",
    "in_blocks",
    "optical_density",
    "patches",
    "planes",
    "to_rgb",
]

BACKGROUND = 240.0
"""Grey level of light that met no tissue, as most published implementations have it."""


PATCH = 96 * 96 * 3


def check_images(images: Any) -> None:
    """Refuse what is no batch of RGB patches.

    Raises:
        ValueError: It is not uint8 (N, H, W, 3).
    """
    if images.ndim != 4 or images.shape[-1] != 3 or str(images.dtype).rpartition(".")[2] != "uint8":
        raise ValueError(
            f"expected patches as uint8 (N, H, W, 3), got {images.dtype} {tuple(images.shape)}"
        )


def optical_density(images: Any, background: float = BACKGROUND) -> Any:
    """Return ``-ln((I + 1) / background)``.

    Args:
        images: uint8 (..., 3), RGB.
        background: Grey level of unhindered light.

    Returns:
        float32 of the same shape; slightly negative where lighter than the background.
    """
    xp = array_namespace(images)
    return -xp.log((xp.astype(images, xp.float32) + 1) / background)


def to_rgb(density: Any, background: float = BACKGROUND) -> Any:
    """Return the RGB of an optical density, as :func:`optical_density` has it.

    That is ``background * exp(-d) - 1``, rounded, in 0..255; uint8 of the same shape.

    Args:
        density: float (..., 3).
        background: Grey level of unhindered light.
    """
    xp = array_namespace(density)
    return xp.astype(xp.round(xp.clip(background * xp.exp(-density) - 1, 0, 255)), xp.uint8)


def planes(images: Any) -> Any:
    """Return patches with each colour in one piece: uint8 (N, H, W, 3) to (N, 3, H * W)."""
    xp = array_namespace(images)
    n, height, width, _ = images.shape
    turned = xp.matrix_transpose(images.reshape(n, height * width, 3))
    return np.ascontiguousarray(turned) if is_numpy_array(images) else turned.contiguous()


def patches(flat: Any, like: Any) -> Any:
    """Undo :func:`planes`; the result is contiguous."""
    xp = array_namespace(flat)
    if not is_numpy_array(flat):
        return xp.matrix_transpose(flat).reshape(like.shape).contiguous()
    woven = np.empty(like.shape, flat.dtype)
    for channel in range(3):  # four times as fast as a transposed copy
        woven[..., channel] = flat[:, channel, :].reshape(like.shape[:3])
    return woven


def in_blocks(images: Any, work: Callable[[Any], Any], block: int = 64) -> Any:
    """Do ``work`` on a few patches at a time, on all cores; on a GPU on all at once.

    A few stay near a processor's caches, and NumPy is faster there than PyTorch, which spreads
    each step of a whole batch by itself.

    Args:
        images: uint8 (N, H, W, 3).
        work: A function of such patches with a result for each.
        block: How many patches of 96x96 at a time, or as much of other sizes.
    """
    if is_torch_array(images) and images.device.type == "cpu":
        return array_namespace(images).asarray(in_blocks(images.numpy(), work, block))
    few = max(block * PATCH // math.prod(images.shape[1:]), 1)
    if not is_numpy_array(images) or images.shape[0] <= few:
        return work(images)
    keep_freed_memory()
    blocks = [images[i : i + few, ...] for i in range(0, images.shape[0], few)]
    with ThreadPoolExecutor(cores(), thread_name_prefix="stain") as pool:
        return np.concatenate(list(pool.map(work, blocks)))
