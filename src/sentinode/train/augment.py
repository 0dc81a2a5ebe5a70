"""Random changes of training patches, a batch at a time, on the device where the batch is."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from sentinode.config import AugmentConfig
from sentinode.stain import jitter, mix_stains

__all__ = ["augmented", "interpolated", "mixed"]

WARPED = 0.8
"""Share of patches that are interpolated where that is asked for; the others stay sharp."""

BLURRED = 0.5
"""The same for what is blurred."""


def augmented(batch: Tensor, settings: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Change every patch by draws of its own.

    Args:
        batch: uint8 (B, H, W, 3), RGB, square.
        settings: What to change, and how far.
        rng: Draws on the host, so that every device gets the same.

    Returns:
        uint8 (B, H, W, 3); ``batch`` itself where nothing is to be changed.
    """
    if settings.orientations != "one" or settings.shift:
        batch = _moved(batch, settings, rng)
    if settings.turn or settings.zoom:
        batch = _warped(batch, settings, rng)
    if settings.stain_mix:
        batch = mix_stains(batch, rng, furthest=settings.stain_mix)
    if settings.stain or settings.stain_offset:
        batch = jitter(batch, rng, sigma_alpha=settings.stain, sigma_beta=settings.stain_offset)
    if settings.blur:
        batch = _blurred(batch, settings.blur, rng)
    if settings.light:
        batch = _relit(batch, settings.light, rng)
    return batch


def mixed(
    inputs: Tensor, targets: Tensor, settings: AugmentConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix every patch with another of the batch, of which it keeps the larger share.

    Zhang et al. (ICLR 2018); one share a batch.

    Args:
        inputs: float (B, C, H, W).
        targets: float (B,).
        settings: ``mixup`` is the Beta's parameter; 0 mixes nothing.
        rng: Draws on the host.
    """
    if not settings.mixup:
        return inputs, targets
    share = float(rng.beta(settings.mixup, settings.mixup))
    share = max(share, 1 - share)
    other = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
    return torch.lerp(inputs[other], inputs, share), torch.lerp(targets[other], targets, share)


def _moved(batch: Tensor, settings: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Flip, turn by right angles and shift, by whole pixels: one lookup does all of it."""
    n, side = len(batch), batch.shape[1]
    down, across = (_shifted(n, side, settings.shift, rng) for _ in range(2))
    rows = np.broadcast_to(down[:, :, None], (n, side, side))
    columns = np.broadcast_to(across[:, None, :], (n, side, side))
    flips = rng.integers(0, 2, (2, n, 1, 1)) if settings.orientations != "one" else None
    if flips is not None:
        rows = np.where(flips[0], side - 1 - rows, rows)
        columns = np.where(flips[1], side - 1 - columns, columns)
    if settings.orientations == "all":
        swap = rng.integers(0, 2, (n, 1, 1))
        rows, columns = np.where(swap, columns, rows), np.where(swap, rows, columns)
    places = torch.from_numpy((rows * side + columns).reshape(n, -1)).to(batch.device)
    flat = batch.reshape(n, side * side, 3)
    return torch.gather(flat, 1, places[:, :, None].expand(-1, -1, 3)).reshape(batch.shape)


def _shifted(n: int, side: int, furthest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return int64 (n, side): which pixel comes to each place, the rim mirrored."""
    moved = np.arange(side) + rng.integers(-furthest, furthest + 1, (n, 1))
    # Mirrored about the middles of the outermost pixels.
    mirrored: NDArray[np.int64] = side - 1 - np.abs(side - 1 - np.abs(moved))
    return mirrored


def _warped(batch: Tensor, settings: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Turn by any angle and change the size, about the centre; bilinear, the rim mirrored."""
    chosen = rng.uniform(size=len(batch)) < WARPED
    angle = chosen * np.deg2rad(settings.turn) * rng.uniform(-1, 1, len(batch))
    scale = np.exp(chosen * math.log1p(settings.zoom) * rng.uniform(-1, 1, len(batch)))
    cos, sin, zero = scale * np.cos(angle), scale * np.sin(angle), np.zeros(len(batch))
    matrix = np.stack([np.stack([cos, -sin, zero], 1), np.stack([sin, cos, zero], 1)], 1)
    on_device = torch.from_numpy(matrix.astype(np.float32)).to(batch.device)
    seen = interpolated(batch.permute(0, 3, 1, 2).float(), on_device)
    return seen.round().to(torch.uint8).permute(0, 2, 3, 1)


def interpolated(images: Tensor, matrix: Tensor) -> Tensor:
    """Move patches about their centre; bilinear, the rim mirrored.

    Args:
        images: float (B, C, H, W).
        matrix: float (B, 2, 3), as of ``affine_grid``: where each pixel comes from.
    """
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _blurred(batch: Tensor, furthest: float, rng: np.random.Generator) -> Tensor:
    """Blur patches by Gaussians of their own, cut off at three of the largest sigmas."""
    n, side = len(batch), batch.shape[1]
    chosen = rng.uniform(size=n) < BLURRED
    sigma = np.maximum(chosen * rng.uniform(0, furthest, n), 1e-3)  # which changes nothing
    reach = min(math.ceil(3 * furthest), side - 1)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma[:, None] ** 2))
    weights /= weights.sum(1, keepdims=True)
    kernels = torch.from_numpy(weights.astype(np.float32)).to(batch.device).repeat_interleave(3, 0)
    seen = batch.permute(0, 3, 1, 2).reshape(1, 3 * n, side, side).float()
    seen = pad(seen, (reach,) * 4, mode="reflect")
    seen = conv2d(seen, kernels[:, None, :, None], groups=3 * n)
    seen = conv2d(seen, kernels[:, None, None, :], groups=3 * n)
    blurred = seen.round().to(torch.uint8).reshape(n, 3, side, side)
    return blurred.permute(0, 2, 3, 1).contiguous()


def _relit(batch: Tensor, furthest: float, rng: np.random.Generator) -> Tensor:
    """Change the light of each patch in each channel."""
    light = 1 + furthest * rng.uniform(-1, 1, (len(batch), 1, 1, 3))
    on_device = torch.from_numpy(light.astype(np.float32)).to(batch.device)
    return (batch * on_device).round_().clamp_(0, 255).to(torch.uint8)
