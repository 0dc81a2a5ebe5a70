"""One synthetic slide: tissue, cells, dyes, and the optics that make a picture of them.

Light through a stained section follows Beer and Lambert: intensity falls exponentially with the
amount of each dye, along that dye's own absorbance of red, green and blue (Ruifrok and Johnston,
2001). Everything a laboratory and a scanner vary is drawn per slide and without a look at where
the tumour is, so that no colour gives the label away.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sentinode.phantom.cells import (
    CENTROBLAST,
    FIBROBLAST,
    HISTIOCYTE,
    LYMPHOCYTE,
    Grain,
    Stains,
    fat_cells,
    place,
    red_cells,
    shrink,
    stain_cells,
    tumour_habit,
)
from sentinode.phantom.tissue import Field, Tissue, grow, smooth_noise
from sentinode.types import UInt8Array

__all__ = ["MPP", "SIDE", "Slide", "make_slide"]

MPP = 0.97  # µm/px
SIDE = 896  # px
PROFILE = 4096  # entries of the profile of a bundle of collagen
LABORATORIES = (  # absorbance of haematoxylin and of eosin in red, green and blue
    ((0.51, 0.72, 0.46), (0.22, 0.83, 0.51)),  # brownish nuclei on salmon
    ((0.52, 0.81, 0.26), (0.27, 0.88, 0.38)),  # violet on pink
    ((0.62, 0.72, 0.31), (0.15, 0.93, 0.33)),  # blue on pink
)


@final
@dataclass(frozen=True)
class Slide:
    """A slide and its truth.

    Attributes:
        name: As in "phantom_003".
        image: uint8 (S, S, 3), RGB.
        mask: bool (S, S), where tumour is.
        tissue: bool (S, S), where there is tissue.
    """

    name: str
    image: UInt8Array
    mask: NDArray[np.bool_]
    tissue: NDArray[np.bool_]


def make_slide(seed: int, index: int, side: int = SIDE) -> Slide:
    """Make slide ``index`` of the cohort of ``seed``: the same each time.

    Args:
        seed: Of the cohort.
        index: Number of the slide, from 0. Three of four have a metastasis.
        side: Side in px at 0.97 µm/px.
    """
    rng = np.random.default_rng((seed, index))
    with_tumour = index % 4 != 3  # so that few slides have both kinds too
    tissue = grow(rng, side, with_tumour)
    stains = _dye(rng, tissue)
    picture = _scan(rng, _light(rng, stains, tissue))
    return Slide(
        name=f"phantom_{index:03d}",
        image=picture,
        mask=tissue.tumour > 0.5,
        tissue=tissue.glass < 0.5,
    )


def _dye(rng: np.random.Generator, tissue: Tissue) -> Stains:
    """Fill the tissue with fibres and cells."""
    side = tissue.glass.shape[0]
    fat = fat_cells(rng, place(rng, tissue, 58, (tissue.fat > 0.3).astype(np.float32)), side)
    course = smooth_noise(rng, side, 130)  # collagen runs along its level lines
    ground = _ground(rng, tissue, course) * (1 - 0.97 * fat)
    inside = (1 - tissue.glass) * (1 - fat)
    fibrous = np.maximum(tissue.capsule, tissue.stroma)
    loose = np.maximum(tissue.sinus, 0.9 * tissue.fat)
    haze = rng.uniform(0.08, 0.28) * ground * (1 - 0.7 * fibrous)
    stains = Stains(haze.astype(np.float32), ground)
    grain = Grain(smooth_noise(rng, side, 1.3), smooth_noise(rng, side, 6))
    free = inside * (1 - loose) * (1 - fibrous) * (1 - tissue.vessel)
    resting = free * (1 - tissue.germinal) * (1 - tissue.tumour)
    chance = rng.uniform(0.72, 1.0) * resting + 0.25 * tissue.sinus * inside
    chance += rng.uniform(0.04, 0.40) * tissue.tumour + 0.18 * tissue.germinal * free
    chance += 0.08 * fibrous * inside
    apart = rng.uniform(5.8, 7.0)
    lymphocytes = place(rng, tissue, apart, chance, disorder=rng.uniform(0.13, 0.22))
    shrink(stains, lymphocytes, 0.58 * apart, rng.uniform(0.2, 0.95), grain)
    stain_cells(rng, stains, lymphocytes, LYMPHOCYTE, grain)
    blasts = place(rng, tissue, rng.uniform(10, 12), 0.9 * tissue.germinal * free + 0.04 * resting)
    stain_cells(rng, stains, blasts, CENTROBLAST, grain)
    swallowing = 0.55 * tissue.sinus * (1 - tissue.fat) + 0.06 * tissue.germinal * free
    stain_cells(rng, stains, place(rng, tissue, 12.5, swallowing), HISTIOCYTE, grain)
    spindles = place(rng, tissue, 13.0, 0.6 * fibrous * inside)
    stain_cells(rng, stains, spindles, FIBROBLAST, grain, course)
    habit = tumour_habit(rng)
    spacing = habit.radius * rng.uniform(2.1, 3.3)
    chance = 0.97 * tissue.tumour * (1 - tissue.vessel)
    tumour = place(rng, tissue, spacing, chance, disorder=rng.uniform(0.18, 0.26))
    shrink(stains, tumour, 0.58 * spacing, rng.uniform(0, 0.9), grain)
    stain_cells(rng, stains, tumour, habit, grain)
    red_cells(rng, stains, place(rng, tissue, 6.4, 0.9 * tissue.vessel))
    return stains


def _ground(rng: np.random.Generator, tissue: Tissue, course: Field) -> Field:
    """Return the eosin (S, S) of what lies between cells: a meshwork, its gaps, and collagen."""
    side = tissue.glass.shape[0]
    fine = smooth_noise(rng, side, 2.0)
    strands = np.exp(-((smooth_noise(rng, side, 4.5) / 0.4) ** 2))
    gaps = np.clip(2 * (smooth_noise(rng, side, 6) - rng.uniform(0.3, 1.5)), 0, 1)
    mesh = rng.uniform(0.28, 0.62) * (0.55 + 0.9 * strands) * np.exp(0.35 * fine)
    mesh *= (1 - 0.9 * gaps) * (1 - 0.5 * tissue.sinus)
    plump = rng.uniform(0.04, 0.32) * np.exp(0.15 * fine)  # cytoplasm fills a sheet of tumour
    mesh += (plump * (1 - rng.uniform(0.5, 1.0) * gaps) - 0.6 * mesh) * tissue.tumour
    ripple = 2.2 * smooth_noise(rng, side, 18)
    bundles = np.sin(rng.uniform(12, 30) * course + ripple)
    hair = _profile(rng)[((rng.uniform(60, 130) * course + 4 * ripple) * 8).astype(int) % PROFILE]
    collagen = rng.uniform(0.25, 0.5) * np.exp(0.15 * bundles + 0.3 * hair + 0.35 * fine)
    collagen *= 1 - 0.9 * np.clip(3 * (bundles - rng.uniform(0.7, 1.0)), 0, 1)
    fibrous = np.maximum(tissue.capsule, tissue.stroma)
    ground: Field = (1 - tissue.glass) * (mesh + (collagen - mesh) * fibrous)
    return ground.astype(np.float32)


def _profile(rng: np.random.Generator) -> Field:
    """Return noise of mean 0 and standard deviation 1 along a line that closes on itself."""
    line = ndimage.gaussian_filter1d(rng.standard_normal(PROFILE), 8, mode="wrap")
    profile: Field = ((line - line.mean()) / line.std()).astype(np.float32)
    return profile


def _light(rng: np.random.Generator, stains: Stains, tissue: Tissue) -> Field:
    """Send light through the dyes; returns float32 (S, S, 3), 1 where nothing is in its way."""
    side = tissue.glass.shape[0]
    laboratory = np.array(LABORATORIES[rng.integers(len(LABORATORIES))])
    haematoxylin, eosin = (_unit(v * np.exp(rng.normal(0, 0.07, 3))) for v in laboratory)
    strength = rng.uniform(1.1, 2.0), rng.uniform(0.9, 1.7)
    uneven = np.exp(0.22 * smooth_noise(rng, side, 260))
    thick = uneven * _fold(rng, side)
    h = stains.haematoxylin * (thick * strength[0] * np.exp(0.10 * smooth_noise(rng, side, 90)))
    e = stains.eosin * (thick * strength[1] * np.exp(0.12 * smooth_noise(rng, side, 90)))
    density = h[..., None] * haematoxylin + e[..., None] * eosin
    density += _dust(rng, side)[..., None]
    light: Field = np.exp(-density).astype(np.float32) * _pen(rng, tissue)
    return light


def _scan(rng: np.random.Generator, light: Field) -> UInt8Array:
    """Focus, sensor and compression."""
    side = light.shape[0]
    blur = rng.uniform(0.2, 0.55)
    picture: Any = ndimage.gaussian_filter(light, (blur, blur, 0), truncate=2.5)
    softer = ndimage.gaussian_filter(picture, (1.2, 1.2, 0), truncate=2.5)
    picture += rng.uniform(0.3, 0.9) * (picture - softer)
    picture = _bubble(rng, picture)
    white = rng.uniform(0.90, 0.97) * np.exp(rng.normal(0, 0.012, 3))
    gamma = rng.uniform(0.88, 1.12)
    picture = (picture.clip(1e-4, 1) ** gamma * white).astype(np.float32)
    grain = rng.standard_normal((side, side, 3), dtype=np.float32)
    picture += rng.uniform(0.006, 0.014) * np.sqrt(picture) * grain
    pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    buffer = BytesIO()
    quality, subsampling = int(rng.integers(80, 96)), int(rng.choice([0, 2]))
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    decoded: UInt8Array = np.asarray(Image.open(buffer))
    return decoded


def _unit(vector: NDArray[Any]) -> Field:
    unit: Field = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _lines(rng: np.random.Generator, side: int) -> Field:
    """Return the distance of every pixel from a random wavy line, in px."""
    ys, xs = (axis.astype(np.float32) for axis in np.ogrid[:side, :side])
    angle = rng.uniform(0, np.pi)
    along = xs * np.cos(angle) + ys * np.sin(angle)
    across = -xs * np.sin(angle) + ys * np.cos(angle)
    wave = 30 * np.sin(along / rng.uniform(80, 200) + rng.uniform(0, 6))
    offset = rng.uniform(across.min(), across.max())
    distance: Field = np.abs(across - offset + wave).astype(np.float32)
    return distance


def _fold(rng: np.random.Generator, side: int) -> Field:
    if rng.random() > 0.3:
        return np.ones((side, side), np.float32)
    width = rng.uniform(5, 16)
    twice = 1 + 0.9 * np.clip((width - _lines(rng, side)) / 3 + 0.5, 0, 1)
    return np.asarray(twice, np.float32)


def _dust(rng: np.random.Generator, side: int) -> Field:
    specks: Field = np.zeros((side, side), np.float32)
    count = rng.poisson(6)
    at = rng.integers(0, side, (count, 2))
    specks[at[:, 0], at[:, 1]] = rng.uniform(20, 90, count)
    spread: Field = ndimage.gaussian_filter(specks, rng.uniform(1.0, 2.0), truncate=2.5)
    return spread


def _pen(rng: np.random.Generator, tissue: Tissue) -> Field:
    side = tissue.glass.shape[0]
    if rng.random() > 0.1:
        return np.ones((side, side, 1), np.float32)
    ink = np.array([(0.15, 0.35, 0.8), (0.1, 0.55, 0.3), (0.15, 0.15, 0.15)][rng.integers(3)])
    stroke = np.clip((rng.uniform(15, 30) - _lines(rng, side)) / 2 + 0.5, 0, 1)[..., None]
    shade: Field = (1 - stroke * (1 - ink) * 0.9).astype(np.float32)
    return shade


def _bubble(rng: np.random.Generator, picture: Field) -> Field:
    side = picture.shape[0]
    if rng.random() > 0.25:
        return picture
    centre, radius = rng.uniform(0, side, 2), rng.uniform(30, 110)
    ys, xs = np.ogrid[:side, :side]
    distance = np.hypot(ys - centre[0], xs - centre[1]) - radius
    rim = np.exp(-((distance / 2.5) ** 2))[..., None]
    inside = (distance < 0)[..., None]
    brighter: Field = np.where(inside, picture * 0.85 + 0.15, picture) * (1 - 0.7 * rim)
    return brighter.astype(np.float32)
