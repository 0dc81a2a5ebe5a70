"""Stain vectors of patches, by Macenko's and by Vahadane's method."""

from __future__ import annotations

from typing import Any, Literal, get_args

from array_api_compat import array_namespace

from sentinode.stain.density import BACKGROUND, check_images, in_blocks, optical_density, planes
from sentinode.stain.order import percentile

__all__ = ["METHODS", "Method", "estimate", "estimate_pooled", "strongest", "unmix", "vectors_of"]

Method = Literal["macenko", "vahadane"]
METHODS: tuple[Method, ...] = get_args(Method)

ALPHA = 1.0  # percentile of angles that is taken for a pure stain
BETA = 0.15  # optical density below which a pixel is background
LEAST_STAINED = 0.01  # share of pixels below which nothing is estimated
LEAST_ANGLE = 0.02  # rad; nearer to each other, two vectors are one stain
SPARSITY = 0.1  # weight of the L1 norm of the concentrations
ROUNDS = 40  # of alternation between concentrations and vectors
PIXELS = 65536  # evenly spread, that the dictionary is learned from; a 96x96 patch has fewer


def estimate(images: Any, method: Method = "macenko", *, background: float = BACKGROUND) -> Any:
    """Estimate the stain vectors of each patch.

    ``macenko``: the extreme directions of the stained pixels in the plane of their two largest
    principal components (Macenko et al., ISBI 2009), at the 1st and 99th percentile of angles.
    ``vahadane``: a dictionary of two non-negative vectors with sparse non-negative
    concentrations (Vahadane et al., IEEE TMI 2016), started from Macenko's.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        method: Which one.
        background: Grey level of unhindered light.

    Returns:
        float32 (N, 2, 3): rows haematoxylin and eosin in optical density of R, G and B, of
        length 1; NaN where less than 1 % of a patch is stained or it has one colour only.

    Raises:
        ValueError: The images are not as said, or the method is unknown.
    """
    check_images(images)
    return in_blocks(images, lambda some: _estimate(some, method, background))


def _estimate(images: Any, method: Method, background: float) -> Any:
    return vectors_of(optical_density(planes(images), background), method)


def estimate_pooled(
    images: Any, method: Method = "macenko", *, background: float = BACKGROUND
) -> Any:
    """Estimate one pair of stain vectors from all patches together, as of one slide.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        method: As of :func:`estimate`.
        background: Grey level of unhindered light.

    Returns:
        float32 (2, 3), as of :func:`estimate`.
    """
    check_images(images)
    pooled = planes(images.reshape(1, images.shape[0] * images.shape[1], images.shape[2], 3))
    return vectors_of(optical_density(pooled, background), method)[0, ...]


def vectors_of(density: Any, method: Method) -> Any:
    """Estimate stain vectors (N, 2, 3) of densities (N, 3, P); see :func:`estimate`."""
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, got {method!r}")
    xp = array_namespace(density)
    above = density >= BETA
    stained = above[:, 0, :] & above[:, 1, :] & above[:, 2, :]
    count = xp.sum(xp.astype(stained, density.dtype), axis=1)
    vectors = _macenko(density, stained, count)
    known = (count >= LEAST_STAINED * density.shape[2]) & _apart(vectors)
    if method == "vahadane":  # of one colour it would make two by the rounding of a processor
        vectors = _vahadane(density, stained, vectors)
        known = known & _apart(vectors)
    return xp.where(known[:, None, None], vectors, float("nan") * xp.ones_like(vectors))


def _apart(vectors: Any) -> Any:
    """Tell which pairs (N, 2, 3) are two stains, neither alike nor pointing away."""
    xp = array_namespace(vectors)
    cosine = xp.sum(vectors[:, 0, :] * vectors[:, 1, :], axis=-1)
    return xp.abs(cosine) < 1 - LEAST_ANGLE**2 / 2


def _macenko(density: Any, stained: Any, count: Any) -> Any:
    xp = array_namespace(density)
    counted = density * xp.astype(stained, density.dtype)[:, None, :]
    number = xp.clip(count, 2, None)[:, None, None]
    total = xp.sum(counted, axis=2)[:, :, None]
    moment = counted @ xp.matrix_transpose(density)
    spread = (moment - total @ xp.matrix_transpose(total) / number) / (number - 1)
    plane = xp.matrix_transpose(xp.linalg.eigh(spread)[1][:, :, 1:])  # (N, 2, 3), largest last
    # an eigenvector's sign is arbitrary: let the larger component of every pixel be positive
    sign = xp.where(xp.sum(plane, axis=2, keepdims=True) < 0, -1.0, 1.0)
    plane = plane * xp.astype(sign, density.dtype)
    part = plane @ density
    # percentiles of an angle are those of its cotangent, which needs no arctangent of each pixel
    falling = -part[:, 0, :] / xp.clip(part[:, 1, :], 1e-6, None)
    angles = percentile(falling, (ALPHA, 100 - ALPHA), counted=stained, through=_angle)
    ends = [xp.stack([xp.cos(a), xp.sin(a)], axis=-1)[:, None, :] @ plane for a in angles]
    return _haematoxylin_first(xp.concat(ends, axis=1))


def _angle(negative_cotangent: Any) -> Any:
    xp = array_namespace(negative_cotangent)
    return xp.atan2(xp.ones_like(negative_cotangent), -negative_cotangent)


def _haematoxylin_first(vectors: Any) -> Any:
    """Order rows by their red: haematoxylin is blue, so that it takes more of red."""
    xp = array_namespace(vectors)
    ordered = (vectors[:, 0, 0] > vectors[:, 1, 0])[:, None, None]
    return xp.where(ordered, vectors, xp.flip(vectors, axis=1))


def _vahadane(density: Any, stained: Any, start: Any) -> Any:
    """Alternate between concentrations and vectors, as in online dictionary learning."""
    xp = array_namespace(density)
    step = max(density.shape[2] // PIXELS, 1)
    pixels = density[:, :, ::step] * xp.astype(stained[:, None, ::step], density.dtype)
    vectors = _unit(
        xp.clip(xp.where(xp.isnan(start), 0.5 * xp.ones_like(start), start), 1e-3, None)
    )
    for _ in range(ROUNDS):
        codes = _sparse_codes(pixels, vectors)
        inner = codes @ xp.matrix_transpose(codes)
        outer = codes @ xp.matrix_transpose(pixels)
        rows: list[Any] = []
        for j in (0, 1):  # block coordinate descent, Mairal et al. (2010), algorithm 2
            rest = outer[:, j : j + 1, :] - inner[:, j : j + 1, :] @ vectors
            moved = (
                vectors[:, j : j + 1, :] + rest / xp.clip(inner[:, j, j], 1e-8, None)[:, None, None]
            )
            rows.append(_unit(xp.clip(moved, 1e-6, None)))
            vectors = xp.concat([*rows, vectors[:, j + 1 :, :]], axis=1)
    return _haematoxylin_first(vectors)


def _unit(vectors: Any) -> Any:
    xp = array_namespace(vectors)
    return vectors / xp.sqrt(xp.sum(vectors * vectors, axis=-1, keepdims=True))


def _sparse_codes(pixels: Any, vectors: Any) -> Any:
    """Solve the non-negative lasso for two unit vectors, which has a closed form.

    Returns:
        Concentrations (N, 2, P) that minimise ``|x - V' c|^2 / 2 + SPARSITY * |c|_1``.
    """
    xp = array_namespace(pixels)
    gain = vectors @ pixels - SPARSITY
    cosine = xp.sum(vectors[:, 0, :] * vectors[:, 1, :], axis=-1)[:, None]
    first, second = gain[:, 0, :], gain[:, 1, :]
    bottom = xp.clip(1 - cosine * cosine, 1e-6, None)
    one, two = (first - cosine * second) / bottom, (second - cosine * first) / bottom
    inside = (one > 0) & (two > 0)
    # where one of them is zero the other is its own gain, and the larger gain the smaller loss
    zero, lone = xp.zeros_like(first), first >= second
    outer_one = xp.where(lone, xp.clip(first, 0, None), zero)
    outer_two = xp.where(lone, zero, xp.clip(second, 0, None))
    return xp.stack([xp.where(inside, one, outer_one), xp.where(inside, two, outer_two)], axis=1)


def unmix(density: Any, vectors: Any) -> Any:
    """Return concentrations by least squares.

    Args:
        density: float (N, 3, P).
        vectors: float (N, 2, 3).

    Returns:
        float (N, 2, P); NaN where a vector is.
    """
    xp = array_namespace(density)
    dots = vectors @ xp.matrix_transpose(vectors)
    a, b, d = dots[:, 0, 0], dots[:, 0, 1], dots[:, 1, 1]
    adjoint = xp.stack([xp.stack([d, -b], axis=-1), xp.stack([-b, a], axis=-1)], axis=1)
    return ((adjoint / (a * d - b * b)[:, None, None]) @ vectors) @ density


def strongest(concentrations: Any) -> Any:
    """Return the 99th percentile of each stain's concentration: (N, 2, P) to (N, 2)."""
    n, stains, pixels = concentrations.shape
    (value,) = percentile(concentrations.reshape(n * stains, pixels), (99.0,))
    return value.reshape(n, stains)
