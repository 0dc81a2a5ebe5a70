"""Random change of the stains' strength, for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from sentinode.stain.density import check_images, optical_density, to_rgb

__all__ = ["HED", "jitter"]

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
