"""Cells: where they lie, and the dye that nucleus, nucleoli and cytoplasm take up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.phantom.tissue import Field, Tissue

__all__ = [
    "Grain",
    "Habit",
    "Stains",
    "fat_cells",
    "place",
    "red_cells",
    "shrink",
    "stain_cells",
    "tumour_habit",
]

Points = NDArray[np.float32]


@final
@dataclass(frozen=True)
class Stains:
    """Amount of dye at every pixel, float32 (S, S): haematoxylin and eosin."""

    haematoxylin: Field
    eosin: Field


@final
@dataclass(frozen=True)
class Grain:
    """Irregularity of a slide's cells, noise (S, S) of mean 0 and standard deviation 1.

    Attributes:
        chromatin: Fine, of the dye within nuclei.
        outline: Coarser, by which outlines leave the ellipse.
    """

    chromatin: Field
    outline: Field


@final
@dataclass(frozen=True)
class Habit:
    """How cells of one kind look; lengths in px of 0.97 µm.

    Attributes:
        radius: Median radius of the nucleus.
        spread: Standard deviation of the logarithm of the radius.
        elongation: Largest ratio of its axes.
        dye: Haematoxylin in the nucleus.
        rim: Share of that dye that lies at the membrane; 0 is an even nucleus.
        clumps: Strength of the chromatin's texture.
        nucleoli: Mean number of nucleoli.
        cytoplasm: Radius of the cell by radius of the nucleus; 1 shows none.
        eosin: Eosin in the cytoplasm.
    """

    radius: float
    spread: float
    elongation: float
    dye: float
    rim: float
    clumps: float
    nucleoli: float
    cytoplasm: float
    eosin: float


LYMPHOCYTE = Habit(2.8, 0.12, 1.45, 1.08, 0.05, 0.28, 0.0, 1.0, 0.0)
CENTROBLAST = Habit(4.3, 0.18, 1.45, 0.72, 0.25, 0.30, 1.2, 1.3, 0.12)
HISTIOCYTE = Habit(4.0, 0.20, 1.9, 0.55, 0.25, 0.30, 0.4, 2.1, 0.22)
FIBROBLAST = Habit(2.5, 0.22, 5.5, 0.85, 0.05, 0.25, 0.0, 1.0, 0.0)


def tumour_habit(rng: np.random.Generator) -> Habit:
    """Draw how the tumour cells of one slide look: pale or dark, small or large."""
    return Habit(
        radius=rng.uniform(4.1, 5.9),
        spread=rng.uniform(0.13, 0.22),
        elongation=rng.uniform(1.4, 2.1),
        dye=rng.uniform(0.5, 1.2),
        rim=rng.uniform(0.1, 0.4),
        clumps=rng.uniform(0.1, 0.4),
        nucleoli=rng.uniform(0.3, 1.5),
        cytoplasm=rng.uniform(1.5, 2.2),
        eosin=rng.uniform(0.08, 0.4),
    )


def place(
    rng: np.random.Generator, tissue: Tissue, spacing: float, wanted: Field, disorder: float = 0.28
) -> Points:
    """Place cells about ``spacing`` px apart where ``wanted`` (S, S), a chance in 0..1, allows.

    ``disorder`` is how far they stray from a honeycomb, in spacings.

    Returns:
        float32 (N, 2): y and x in px.
    """
    side = wanted.shape[0]
    count = int(side / spacing) + 1
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1)
    grid = grid.reshape(-1, 2).astype(np.float32)
    grid[grid[:, 0] % 2 == 1, 1] += 0.5  # a honeycomb packs cells as tissue does
    shaken = grid + rng.normal(0, disorder, grid.shape).astype(np.float32)
    points: Points = (shaken * spacing).astype(np.float32)
    points = points[((points >= 0) & (points < side - 1)).all(axis=1)]
    at = points.astype(int)
    chance = wanted[at[:, 0], at[:, 1]] * tissue.density[at[:, 0], at[:, 1]]
    placed: Points = points[rng.random(len(points), dtype=np.float32) < chance]
    return placed


def stain_cells(
    rng: np.random.Generator,
    stains: Stains,
    points: Points,
    habit: Habit,
    grain: Grain,
    course: Field | None = None,
) -> None:
    """Add cells to the dyes, in place.

    Args:
        rng: Chance.
        stains: Dyes to add to.
        points: (N, 2) centres.
        habit: How they look.
        grain: How irregular they are.
        course: (S, S) field along whose level lines they lie; in any direction without it.
    """
    if not len(points):
        return
    n = len(points)
    radius = habit.radius * np.exp(
        rng.normal(0, habit.spread, n).clip(-2.2 * habit.spread, 2.2 * habit.spread)
    )
    ratio = rng.uniform(1, habit.elongation, n)
    axes = np.stack([radius * np.sqrt(ratio), radius / np.sqrt(ratio)], 1)
    angle = rng.uniform(0, np.pi, n) if course is None else _along(rng, course, points)
    dye = habit.dye * np.exp(rng.normal(0, 0.16, n))
    if habit.cytoplasm > 1:
        drift = points + rng.normal(0, 0.15 * habit.radius, points.shape)
        body = _ellipses(drift, axes * habit.cytoplasm, angle, stains.eosin.shape[0], reach=1.3)
        body = body.bent(grain.outline, 0.14)
        # fades outwards, but for the membrane, which takes the dye best
        shade = (1.3 - body.distance).clip(0) ** 0.5 * (0.75 + 0.4 * (body.distance > 0.8))
        shade *= np.exp(0.2 * grain.chromatin.reshape(-1)[body.at])
        amount = (habit.eosin * np.exp(rng.normal(0, 0.15, n)))[body.owner]
        body.paint(stains.eosin, amount * shade)
    nucleus = _ellipses(points, axes, angle, stains.haematoxylin.shape[0], reach=1.35)
    nucleus = nucleus.bent(grain.outline, 0.10)
    rim = np.exp(-(((nucleus.distance - 0.88) / 0.14) ** 2))
    profile = (1 - habit.rim) + habit.rim * 1.8 * rim
    texture = np.maximum(1 + habit.clumps * grain.chromatin.reshape(-1)[nucleus.at], 0.15)
    nucleus.paint(stains.haematoxylin, dye[nucleus.owner] * nucleus.inside * profile * texture)
    if habit.nucleoli:
        _nucleoli(rng, stains, points, axes, habit)


def _along(rng: np.random.Generator, course: Field, points: Points) -> NDArray[Any]:
    y, x = points.astype(int).clip(3, course.shape[0] - 4).T
    slope_y, slope_x = course[y + 3, x] - course[y - 3, x], course[y, x + 3] - course[y, x - 3]
    angle: NDArray[Any] = np.arctan2(slope_x, -slope_y) + rng.normal(0, 0.2, len(points))
    return angle


def shrink(stains: Stains, points: Points, radius: float, strength: float, grain: Grain) -> None:
    """Draw bright slits around round cells, in place: fixed cells shrink from one another."""
    axes = np.full((len(points), 2), radius)
    ring = _ellipses(points, axes, np.zeros(len(points)), stains.eosin.shape[0], reach=1.3)
    ring = ring.bent(grain.outline, 0.12)
    slit = np.zeros_like(stains.eosin)
    ring.paint(slit, strength * np.exp(-(((ring.distance - 1) / 0.22) ** 2)))
    np.multiply(stains.eosin, 1 - slit, out=stains.eosin)
    np.multiply(stains.haematoxylin, 1 - slit, out=stains.haematoxylin)


def _nucleoli(
    rng: np.random.Generator, stains: Stains, points: Points, axes: NDArray[Any], habit: Habit
) -> None:
    owner = np.repeat(np.arange(len(points)), rng.poisson(habit.nucleoli, len(points)))
    inner = 0.4 * axes[owner, 1][:, None]
    centres = points[owner] + rng.normal(0, 1, (len(owner), 2)) * inner * 0.8
    size = rng.uniform(0.16, 0.26, (len(owner), 1)) * axes[owner, 1][:, None]
    size = np.repeat(np.maximum(size, 0.9), 2, axis=1)
    spots = _ellipses(centres, size, np.zeros(len(owner)), stains.eosin.shape[0], reach=1.6)
    spots.paint(stains.haematoxylin, 1.25 * habit.dye * spots.inside)
    spots.paint(stains.eosin, 0.3 * spots.inside)


def red_cells(rng: np.random.Generator, stains: Stains, points: Points) -> None:
    """Add red blood cells to the eosin, in place: even discs without a nucleus."""
    if not len(points):
        return
    axes = rng.uniform(2.9, 3.6, (len(points), 1)).repeat(2, 1)
    discs = _ellipses(points, axes, np.zeros(len(points)), stains.eosin.shape[0], reach=1.2)
    discs.paint(stains.eosin, 1.0 * discs.inside)


def fat_cells(rng: np.random.Generator, points: Points, side: int) -> Field:
    """Return the share of every pixel (S, S) that is within a fat cell: washed out, so empty."""
    empty = np.zeros((side, side), np.float32)
    radius = rng.uniform(19, 34, (len(points), 1))
    axes = np.concatenate([radius, radius * rng.uniform(0.75, 1, radius.shape)], 1)
    angle = rng.uniform(0, np.pi, len(points))
    drops = _ellipses(points, axes, angle, side, reach=1.1)
    drops.paint(empty, drops.inside)
    return empty


@final
@dataclass(frozen=True)
class _Ellipses:
    """Pixels of many ellipses, one entry a pixel and ellipse.

    Attributes:
        at: int64 (P,), flat index of the pixel.
        owner: int64 (P,), number of the ellipse.
        distance: float32 (P,), from its centre; 1 on its border.
        inside: float32 (P,), share of the pixel within it.
        shortest: float32 (P,), its shorter half axis in px.
    """

    at: NDArray[np.int64]
    owner: NDArray[np.int64]
    distance: Field
    inside: Field
    shortest: Field

    def bent(self, outline: Field, strength: float) -> _Ellipses:
        """Return them with outlines that leave the ellipse by noise (S, S)."""
        distance = self.distance * (1 + np.float32(strength) * outline.reshape(-1)[self.at])
        inside = np.clip((1 - distance) * self.shortest + 0.5, 0, 1)
        return _Ellipses(self.at, self.owner, distance, inside, self.shortest)

    def paint(self, dye: Field, amount: NDArray[Any]) -> None:
        """Raise a dye (S, S) to ``amount`` (P,) where it is less, in place."""
        np.maximum.at(dye.reshape(-1), self.at, amount.astype(np.float32))


def _ellipses(
    centres: NDArray[Any], axes: NDArray[Any], angle: NDArray[Any], side: int, reach: float
) -> _Ellipses:
    """Return the pixels up to ``reach`` times the radius from the centre of each ellipse.

    Args:
        centres: (N, 2), y and x in px.
        axes: (N, 2), half of its axes in px, the longer first.
        angle: (N,), of the longer axis, in radians.
        side: Of the slide in px; pixels beyond are left out.
        reach: At least 1.
    """
    around = int(np.ceil(float(axes.max(initial=1.0)) * reach))
    offset = np.arange(-around, around + 1)
    base = np.round(centres).astype(np.int64)
    dy = ((base[:, :1] + offset) - centres[:, :1]).astype(np.float32)[:, :, None]
    dx = ((base[:, 1:] + offset) - centres[:, 1:]).astype(np.float32)[:, None, :]
    cos, sin = (f(angle).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    long, short = (axes[:, i].astype(np.float32)[:, None, None] for i in (0, 1))
    square = ((dx * cos + dy * sin) / long) ** 2 + ((dy * cos - dx * sin) / short) ** 2
    owner, row, column = np.nonzero(square < reach * reach)
    y, x = base[owner, 0] + offset[row], base[owner, 1] + offset[column]
    kept = (y >= 0) & (y < side) & (x >= 0) & (x < side)
    owner = owner[kept]
    distance = np.sqrt(square[owner, row[kept], column[kept]])
    shortest = axes.min(1).astype(np.float32)[owner]
    inside = np.clip((1 - distance) * shortest + 0.5, 0, 1)
    return _Ellipses(y[kept] * side + x[kept], owner, distance, inside, shortest)
