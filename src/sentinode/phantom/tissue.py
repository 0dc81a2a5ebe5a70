"""Where what grows: the regions of a synthetic lymph node, as smooth fields of chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Tissue", "grow", "smooth_noise"]

Field = NDArray[np.float32]
COARSE = 16  # px of the slide per px of a coarse field


@final
@dataclass(frozen=True)
class Tissue:
    """Shares of each kind of tissue at every pixel; all float32 (S, S) in 0..1.

    Attributes:
        glass: No tissue.
        fat: Fat vacuoles.
        capsule: Collagen of capsule and trabeculae.
        sinus: Loose spaces with histiocytes.
        germinal: Germinal centres.
        stroma: Fibrous tissue between nests of tumour.
        tumour: Tumour cells.
        vessel: Vessels filled with red cells.
        density: Local factor of cell density, about 1.
    """

    glass: Field
    fat: Field
    capsule: Field
    sinus: Field
    germinal: Field
    stroma: Field
    tumour: Field
    vessel: Field
    density: Field


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> Field:
    """Return noise of mean 0 and standard deviation 1 with features of about ``scale`` px.

    Drawn coarsely and enlarged, so that large features cost no more than small ones.
    """
    step = max(1, int(scale / 4))
    coarse = -(-side // step) + 2
    field = ndimage.gaussian_filter(
        rng.standard_normal((coarse, coarse), dtype=np.float32),
        scale / step / 2,
        mode="wrap",
        truncate=2.5,
    )
    field = (field - field.mean()) / (field.std() + 1e-6)
    return _enlarge(field, step, side)


def grow(rng: np.random.Generator, side: int, with_tumour: bool) -> Tissue:
    """Draw the regions of one slide.

    Args:
        rng: Chance.
        side: Side of the slide in px at 0.97 µm/px.
        with_tumour: Whether a metastasis grows in it.
    """
    outline = smooth_noise(rng, side, side / 3) + 1.1
    # far inside the section, near 0 at its border
    glass = _soft(-outline, 0.12)
    inside = 1 - glass
    capsule = _soft(0.35 - np.abs(outline - 0.3), 0.08) * inside
    trabecula = _soft(0.05 - np.abs(smooth_noise(rng, side, 260)), 0.03)
    capsule = np.maximum(capsule, trabecula * inside * (rng.random() < 0.6))
    sinus = _soft(rng.uniform(0.08, 0.3) - np.abs(smooth_noise(rng, side, 150)), 0.08)
    sinus = sinus * inside * (1 - capsule)
    germinal = _soft(smooth_noise(rng, side, 190) - rng.uniform(1.0, 1.7), 0.12) * inside
    fat = _soft(smooth_noise(rng, side, 300) - rng.uniform(1.2, 2.2), 0.1) * inside
    vessel = _soft(smooth_noise(rng, side, 45) - rng.uniform(2.3, 2.9), 0.1) * inside
    tumour = np.zeros_like(glass)
    stroma = np.zeros_like(glass)
    if with_tumour:
        tumour, stroma = _metastasis(rng, side)
        tumour, stroma = tumour * inside * (1 - fat), stroma * inside * (1 - fat)
    grown = np.maximum(tumour, stroma)
    density = np.exp(0.25 * smooth_noise(rng, side, 120)).astype(np.float32)
    return Tissue(
        glass=glass,
        fat=fat,
        capsule=capsule * (1 - grown),
        sinus=sinus * (1 - grown),
        germinal=germinal * (1 - grown) * (1 - capsule),
        stroma=stroma,
        tumour=tumour,
        vessel=vessel * (1 - fat),
        density=density,
    )


def _metastasis(rng: np.random.Generator, side: int) -> tuple[Field, Field]:
    """Return tumour and the stroma between its nests: sheets, nests, or small foci."""
    scale, limit = {
        "sheet": (side / 3.0, rng.uniform(-0.2, 0.5)),
        "nests": (side / 4.0, rng.uniform(0.0, 0.7)),
        "foci": (side / 14.0, rng.uniform(1.2, 1.8)),
    }[str(kind := rng.choice(["sheet", "nests", "foci"]))]
    area = _soft(smooth_noise(rng, side, scale) - limit, 0.06)
    gap = {"sheet": 0.06, "nests": 0.35, "foci": 0.0}[str(kind)]
    between = _soft(gap - np.abs(smooth_noise(rng, side, rng.uniform(50, 110))), 0.08)
    return area * (1 - between), area * between


def _enlarge(coarse: Field, step: int, side: int) -> Field:
    """Interpolate linearly to (side, side), one axis after the other."""
    at = np.arange(side, dtype=np.float32) / step
    low = at.astype(int)
    weight = (at - low).astype(np.float32)
    wide = coarse[:, low] * (1 - weight) + coarse[:, low + 1] * weight
    weight = weight[:, None]
    tall: Field = wide[low] * (1 - weight) + wide[low + 1] * weight
    return tall


def _soft(distance: NDArray[Any], width: float) -> Field:
    """Step from 0 to 1 where ``distance`` passes 0, over about ``width``."""
    step: Field = np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
    return step
