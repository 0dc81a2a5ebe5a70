"""Normalisation of patches to the look of a target."""

from __future__ import annotations

from typing import Any, Literal, Self, cast, get_args

import numpy as np
from array_api_compat import array_namespace, device
from pydantic import BaseModel, ConfigDict, model_validator

from sentinode.stain.density import (
    BACKGROUND,
    check_images,
    in_blocks,
    optical_density,
    patches,
    planes,
    to_rgb,
)
from sentinode.stain.estimates import Method, estimate_pooled, strongest, unmix, vectors_of
from sentinode.stain.lab import from_lab, to_lab

__all__ = ["NORMALISERS", "StainTarget", "common_target", "fit_target", "normalise"]

Normaliser = Literal["macenko", "vahadane", "reinhard"]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)

Row = tuple[float, float, float]
FLAT = 1e-3  # a standard deviation in Lab up to here is that of one colour


class StainTarget(BaseModel):
    """The look that patches are brought to, as plain JSON values.

    Attributes:
        method: How it was measured and is applied.
        vectors: Stain vectors, haematoxylin and eosin, for macenko and vahadane.
        strongest: 99th percentile of each stain's concentration, for these.
        mean: Mean of L, a and b, for reinhard.
        std: Their standard deviation, for reinhard.
        background: Grey level of unhindered light.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Normaliser
    vectors: tuple[Row, Row] | None = None
    strongest: tuple[float, float] | None = None
    mean: Row | None = None
    std: Row | None = None
    background: float = BACKGROUND

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = (
            (self.mean, self.std) if self.method == "reinhard" else (self.vectors, self.strongest)
        )
        if None in needed:
            raise ValueError(f"a target of {self.method} lacks what it is applied with")
        return self


class TooLittleStainError(ValueError):
    """No stain can be measured."""

    def __init__(self) -> None:
        super().__init__(
            "the target shows too little stained tissue, or one colour only; choose another one"
        )


def fit_target(
    images: Any, method: Normaliser = "macenko", *, background: float = BACKGROUND
) -> StainTarget:
    """Measure the look of one or many target patches together.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        method: macenko, vahadane (see :func:`sentinode.stain.estimate`) or reinhard (mean and
            standard deviation in Lab; Reinhard et al., IEEE CG&A 2001).
        background: Grey level of unhindered light.

    Raises:
        ValueError: The images are not as said, the method is unknown, or they show too little
            tissue to measure stains, or one colour only.
    """
    check_images(images)
    if method not in NORMALISERS:
        raise ValueError(f"method is one of {', '.join(NORMALISERS)}, got {method!r}")
    if method == "reinhard":
        lab = _host(to_lab(planes(images))).astype(np.float64)
        std = lab.std((0, 2))
        if (std <= FLAT).any():
            raise TooLittleStainError
        return StainTarget(method=method, mean=_row(lab.mean((0, 2))), std=_row(std))
    vectors = estimate_pooled(images, method, background=background)
    if np.isnan(_host(vectors)).any():
        raise TooLittleStainError
    pooled = planes(images.reshape(1, -1, images.shape[2], 3))
    density = optical_density(pooled, background)
    most = strongest(unmix(density, vectors[None, ...]))
    first, second = _host(vectors).astype(float)
    return StainTarget(
        method=method,
        vectors=(_row(first), _row(second)),
        strongest=cast(tuple[float, float], tuple(_host(most)[0].astype(float).tolist())),
        background=background,
    )


def common_target(
    images: Any, method: Normaliser = "macenko", *, background: float = BACKGROUND
) -> StainTarget:
    """Take the medians of what patches of many slides show, each measured alone.

    Patches of differently stained slides, pooled as by :func:`fit_target`, would give two vectors
    that none of them has.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        method: As of :func:`fit_target`.
        background: Grey level of unhindered light.

    Raises:
        ValueError: As of :func:`fit_target`, or none of the patches shows enough tissue.
    """
    check_images(images)
    each: list[StainTarget] = []
    for image in images:
        try:
            each.append(fit_target(image[None, ...], method, background=background))
        except TooLittleStainError:
            continue
    if not each:
        raise TooLittleStainError
    if method == "reinhard":
        mean, std = (np.median([getattr(t, n) for t in each], axis=0) for n in ("mean", "std"))
        return StainTarget(method=method, mean=_row(mean), std=_row(std))
    vectors = np.array([t.vectors for t in each])
    most = np.array([t.strongest for t in each])
    middle = _unit(np.median(vectors, axis=0))
    # a patch that told its two stains apart wrongly lies nearer to the medians exchanged
    exchanged = np.einsum("nkc,kc->n", vectors - vectors[:, ::-1], middle) < 0
    vectors[exchanged], most[exchanged] = vectors[exchanged, ::-1], most[exchanged, ::-1]
    first, second = _unit(np.median(vectors, axis=0))
    strongest_two = cast(tuple[float, float], tuple(np.median(most, axis=0).tolist()))
    return StainTarget(
        method=method,
        vectors=(_row(first), _row(second)),
        strongest=strongest_two,
        background=background,
    )


def normalise(images: Any, target: StainTarget) -> Any:
    """Bring each patch to the look of a target.

    A patch whose own stains cannot be measured (less than 1 % stained, or of one colour) comes
    back as it is.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        target: Of :func:`fit_target`.

    Returns:
        uint8 (N, H, W, 3), of the kind and on the device of ``images``.
    """
    check_images(images)
    if target.method == "reinhard":
        # few at a time: its tables take turns with the patches in the caches
        return in_blocks(images, lambda some: _reinhard(some, target), block=16)
    return in_blocks(images, lambda some: _by_vectors(some, target))


def _by_vectors(images: Any, target: StainTarget) -> Any:
    xp = array_namespace(images)
    density = optical_density(planes(images), target.background)
    vectors = vectors_of(density, cast(Method, target.method))
    concentrations = unmix(density, vectors)
    most = strongest(concentrations)
    scale = _array(target.strongest, images) / most
    mix = xp.matrix_transpose(_array(target.vectors, images)) * scale[:, None, :]
    known = xp.all(xp.isfinite(mix.reshape(-1, 6)), axis=1) & xp.all(most > 1e-6, axis=1)
    if not xp.all(known):
        shown = known[:, None, None]
        mix = xp.where(shown, mix, xp.zeros_like(mix))
        concentrations = xp.where(shown, concentrations, xp.zeros_like(concentrations))
    stained = patches(to_rgb(mix @ concentrations, target.background), images)
    return stained if xp.all(known) else xp.where(known[:, None, None, None], stained, images)


def _reinhard(images: Any, target: StainTarget) -> Any:
    xp = array_namespace(images)
    lab = to_lab(planes(images))
    mean = xp.mean(lab, axis=2, keepdims=True)
    centred = lab - mean
    std = xp.sqrt(xp.mean(centred * centred, axis=2, keepdims=True))
    known = xp.all(std > FLAT, axis=1)[:, None, :]
    scale = _array(target.std, images)[None, :, None] / xp.where(known, std, xp.ones_like(std))
    moved = centred * scale + _array(target.mean, images)[None, :, None]
    stained = patches(from_lab(moved), images)
    return stained if xp.all(known) else xp.where(known[..., None], stained, images)


def _array(values: Any, like: Any) -> Any:
    xp = array_namespace(like)
    return xp.asarray(values, dtype=xp.float32, device=device(like))


def _host(values: Any) -> np.ndarray:
    """Return values as a NumPy array, wherever they lie."""
    moved = values.cpu() if hasattr(values, "cpu") else values
    return np.asarray(moved)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _row(values: np.ndarray) -> Row:
    red, green, blue = values.tolist()
    return float(red), float(green), float(blue)
