"""Random change of the stains' strength and colour, for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from sentinode.stain.density import (
    BACKGROUND,
    check_images,
    optical_density,
    patches,
    planes,
    to_rgb,
)
from sentinode.stain.estimates import estimate, unmix

__all__ = ["HED", "jitter", "mix_stains"]

HED: NDArray[np.float64] = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density of haematoxylin, eosin and DAB by R, G and B (Ruifrok and Johnston, 2001)."""


def jitter(
    images: Any,
    rng: np.random.Generator,
    *,
    sigma_alpha: float = 0.2,
    sigma_beta: float = 0.05,
    vectors: NDArray[np.float64] = HED,
) -> Any:
    """Scale and shift the concentration of each stain at random, once a patch and stain.

    ``c' = a c + b`` with a uniform in 1 - sigma_alpha .. 1 + sigma_alpha and b uniform in
    -sigma_beta .. sigma_beta (Tellez et al., IEEE TMI 2018, who call 0.05 light and 0.2 strong).

    Args:
        images: uint8 (N, H, W, 3), RGB, on any device.
        rng: Draws on the host, so that every device gets the same.
        sigma_alpha: 0..1.
        sigma_beta: In optical density, natural logarithm.
        vectors: float (3, 3), three stains by R, G and B.

    Returns:
        uint8 (N, H, W, 3).
    """
    check_images(images)
    xp = array_namespace(images)
    draw = rng.uniform(-1, 1, (2, images.shape[0], 1, 3)).astype(np.float32)
    scale, shift = (xp.asarray(d, device=device(images)) for d in draw)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mix = xp.asarray(unit.astype(np.float32), device=device(images))
    unmix = xp.asarray(np.linalg.inv(unit).astype(np.float32), device=device(images))
    flat = optical_density(images, 256.0).reshape(images.shape[0], -1, 3)
    moved = (flat @ unmix) * (1 + sigma_alpha * scale) + sigma_beta * shift
    return to_rgb(moved @ mix, 256.0).reshape(images.shape)


LEAST_APART = np.cos(np.deg2rad(10))
"""Cosine of the angle of two stains above which noise would be taken for their amounts; 98 of 100
patches of PatchCamelyon have 12 to 32 degrees."""


def mix_stains(images: Any, rng: np.random.Generator, *, furthest: float = 1.0) -> Any:
    """Give each patch's haematoxylin and eosin the colour of another patch's, part of the way.

    Stain vectors are Macenko's; how much of each stain lies where stays as it is, and so does
    what the two vectors do not explain. A patch whose stains, or whose partner's, cannot be told
    apart, or lie within 10 degrees of each other, comes back as it is.

    Args:
        images: uint8 (N, H, W, 3), RGB, on any device; partners are drawn among them.
        rng: Draws on the host, so that every device gets the same.
        furthest: Largest share of the way, 0..1; each patch's is drawn uniformly below it.

    Returns:
        uint8 (N, H, W, 3).
    """
    check_images(images)
    xp = array_namespace(images)
    own = estimate(images)
    partners = xp.asarray(rng.permutation(images.shape[0]), device=device(images))
    share = rng.uniform(0, furthest, (images.shape[0], 1, 1)).astype(np.float32)
    near = xp.sum(own[:, 0, :] * own[:, 1, :], axis=1) > LEAST_APART
    own = xp.where(near[:, None, None], float("nan") * own, own)
    turn = xp.asarray(share, device=device(images)) * (xp.take(own, partners, axis=0) - own)
    known = xp.all(xp.isfinite(turn.reshape(-1, 6)), axis=1)[:, None, None]
    density = optical_density(planes(images), BACKGROUND)
    added = xp.matrix_transpose(turn) @ unmix(density, own)
    moved = density + xp.where(known, added, xp.zeros_like(density))
    return patches(to_rgb(moved, BACKGROUND), images)
