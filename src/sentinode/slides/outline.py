"""The outlines of a mask, and the files in which annotation programs keep outlines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final
from xml.sax.saxutils import quoteattr

import contourpy
import numpy as np
from numpy.typing import NDArray

from sentinode.core import write_text
from sentinode.slides.fill import Box, Points, winding

__all__ = ["Polygon", "outline", "write_asap", "write_geojson", "write_ncrf"]

RED = [200, 0, 0]  # of QuPath's class Tumor


@final
@dataclass(frozen=True)
class Polygon:
    """One connected area in px of level 0; rings do not repeat their first point.

    Attributes:
        outer: Its outline.
        holes: What is cut out of it.
    """

    outer: Points
    holes: tuple[Points, ...]


def outline(
    mask: NDArray[np.bool_], x: int = 0, y: int = 0, *, square: bool = False
) -> list[Polygon]:
    """Return the outlines of a mask; filled again, they give it to the pixel.

    Marching squares through the middles between pixel centres, so that each pixel's centre lies
    half a pixel inside or outside.

    Args:
        mask: (H, W).
        x: Of its left side on the slide.
        y: Of its upper side.
        square: Follow the pixels' sides instead, so that an area has its pixels' size. Pixels that
            touch at a corner are then of one area.

    Returns:
        Areas in the order of their topmost, leftmost points.
    """
    height = np.pad(mask, 1).astype(np.float32)
    finder = contourpy.contour_generator(
        z=height, name="serial", fill_type=contourpy.FillType.OuterOffset
    )
    # the middle between four pixels, of which two across are set, is 0.5
    filled: Any = finder.filled(0.49 if square else 0.5, 2.0)
    points, offsets = filled
    shift = np.array([x - 0.5, y - 0.5])
    areas = []
    for some, at in zip(points, offsets, strict=True):
        rings = [some[a : b - 1].astype(np.float64) + shift for a, b in pairwise(at)]
        if square:
            rings = [_corners(ring) for ring in rings]
        areas.append(Polygon(rings[0], tuple(rings[1:])))
    return sorted(areas, key=lambda p: (p.outer[:, 1].min(), p.outer[:, 0].min()))


def _corners(ring: Points) -> Points:
    """Return the corners of pixels that a ring through the middles of their sides cuts off."""
    ring = np.round(2 * ring) / 2
    after = np.roll(ring, -1, 0)
    turns = (ring != after).all(1)  # from one side's middle to the next one's around the corner
    ring, after = ring[turns], after[turns]
    corners: Points = np.where(ring == np.floor(ring), ring, after)
    return corners


def write_geojson(path: Path, areas: Sequence[Polygon], group: str = "Tumor") -> None:
    """Write outlines as QuPath exports its annotations: one Feature for each area."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [_closed(ring) for ring in (area.outer, *area.holes)],
            },
            "properties": {
                "objectType": "annotation",
                "classification": {"name": group, "color": RED},
            },
        }
        for area in areas
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")


def write_asap(path: Path, areas: Sequence[Polygon]) -> None:
    """Write outlines as CAMELYON16 has them: group Tumor, and Exclusion for what is cut out."""
    named = [("Tumor", area.outer) for area in areas]
    named += [("Exclusion", ring) for ring in _cut_out(areas)]
    lines = ['<?xml version="1.0"?>', "<ASAP_Annotations>", "\t<Annotations>"]
    for number, (group, ring) in enumerate(named):
        name = quoteattr(f"Annotation {number}")
        lines += [
            f'\t\t<Annotation Name={name} Type="Polygon" PartOfGroup="{group}" Color="#F4FA58">',
            "\t\t\t<Coordinates>",
            *(
                f'\t\t\t\t<Coordinate Order="{i}" X="{x}" Y="{y}" />'
                for i, (x, y) in enumerate(_short(ring))
            ),
            "\t\t\t</Coordinates>",
            "\t\t</Annotation>",
        ]
    lines += ["\t</Annotations>", "\t<AnnotationGroups>"]
    for group, colour in (("Tumor", "#F4FA58"), ("Exclusion", "#64FE2E")):
        lines.append(f'\t\t<Group Name="{group}" PartOfGroup="None" Color="{colour}" />')
    lines += ["\t</AnnotationGroups>", "</ASAP_Annotations>", ""]
    write_text(path, "\n".join(lines))


def write_ncrf(path: Path, areas: Sequence[Polygon]) -> None:
    """Write outlines in NCRF's JSON: tumour under positive, what is cut out under negative."""
    groups = {"positive": [area.outer for area in areas], "negative": _cut_out(areas)}
    values = {
        group: [{"name": f"{group} {i}", "vertices": _short(r)} for i, r in enumerate(rings)]
        for group, rings in groups.items()
    }
    write_text(path, json.dumps(values) + "\n")


def _cut_out(areas: Sequence[Polygon]) -> list[Points]:
    """Return the holes for formats that take all of them from all areas.

    An area within a hole is spared by a slit of no width from the hole's outline to it and back.
    """
    holes = [hole for area in areas for hole in area.holes]
    within: dict[int, list[Points]] = {i: [] for i in range(len(holes))}
    for area in areas:
        around = [i for i, hole in enumerate(holes) if _holds(hole, area.outer[0])]
        if around:  # the innermost hole that it lies in
            size = [float(np.ptp(holes[i], axis=0).prod()) for i in around]
            within[around[int(np.argmin(size))]].append(area.outer)
    return [_with_slits(hole, within[i]) for i, hole in enumerate(holes)]


def _holds(ring: Points, point: Points) -> bool:
    x, y = point
    if not (ring.min(0) <= point).all() or not (point <= ring.max(0)).all():
        return False
    # the centre of a pixel of which the point is the upper left corner, half a pixel up and left
    pixel = Box(int(np.floor(x)), int(np.floor(y)), 1, 1)
    return bool(winding(ring - (point - [pixel.x + 0.5, pixel.y + 0.5]), pixel)[0, 0])


def _with_slits(hole: Points, islands: Sequence[Points]) -> Points:
    path = [hole, hole[:1]] if islands else [hole]
    for island in islands:
        there = island if _area(island) * _area(hole) < 0 else island[::-1]
        path += [there, there[:1], hole[:1]]
    return np.concatenate(path)


def _area(ring: Points) -> float:
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _short(ring: Points) -> list[list[Any]]:
    return [[int(v) if v == int(v) else v for v in point] for point in ring.tolist()]


def _closed(ring: Points) -> list[list[Any]]:
    points = _short(ring)
    return [*points, points[0]]
