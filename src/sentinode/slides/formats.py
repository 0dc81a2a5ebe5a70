"""Files of outlines: ASAP's XML, NCRF's JSON and the GeoJSON of QuPath."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from sentinode.errors import InputError, MissingInputError
from sentinode.slides.annotation import Shape
from sentinode.slides.fill import Points

__all__ = ["EXPECTED", "UNCLASSIFIED", "read_shapes"]

UNCLASSIFIED = "unclassified"
EXPECTED = (
    "ASAP's XML (.xml), NCRF's JSON with positive and negative, QuPath's GeoJSON, or a mask image "
    "(.png, .tif)"
)
AREAS = ("Polygon", "Spline", "Rectangle")  # of ASAP; dots and measurements enclose nothing
OTHER_OBJECTS = ("detection", "cell", "tile", "tmacore", "tma_core", "root")


def read_shapes(path: Path) -> tuple[str, list[Shape], list[str]]:
    """Read a file of outlines.

    Args:
        path: ASAP's XML, NCRF's JSON or GeoJSON, told apart by content.

    Returns:
        Name of the format, outlines, and notices about what was passed over.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged or none of these.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingInputError(f"no annotation file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected {EXPECTED}, {error}") from error
    if path.suffix.lower() == ".xml":
        return "asap", *_asap(text, path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # of the text, or of its depth
        raise InputError(f"{path} is damaged: expected JSON, {error}") from error
    if isinstance(values, dict) and ("positive" in values or "negative" in values):
        return "ncrf", *_ncrf(values, path)
    if isinstance(values, list) or (isinstance(values, dict) and "type" in values):
        return "geojson", *_geojson(values, path)
    raise InputError(f"{path} holds no outlines; expected {EXPECTED}")


def _asap(text: str, path: Path) -> tuple[list[Shape], list[str]]:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is damaged: expected ASAP's XML, {error}") from error
    if root.tag != "ASAP_Annotations":
        raise InputError(f"{path}: expected ASAP_Annotations at the top, got {root.tag!r}")
    parents = {g.get("Name", ""): g.get("PartOfGroup", "") for g in root.iter("Group")}
    shapes: list[Shape] = []
    passed: dict[str, int] = {}
    for number, element in enumerate(root.iter("Annotation")):
        kind = element.get("Type", "Polygon")
        if kind not in AREAS:
            passed[kind] = passed.get(kind, 0) + 1
            continue
        name = element.get("Name") or f"annotation {number}"
        corners = sorted(element.iter("Coordinate"), key=lambda c: _order(c, name, path))
        ring = _ring([[c.get("X"), c.get("Y")] for c in corners], name, path)
        shapes.append(Shape(name, _group(element.get("PartOfGroup", ""), parents), (ring,)))
    return shapes, _passed_over(passed)


def _group(name: str, parents: Mapping[str, str]) -> str:
    """Return the outermost group: ASAP lets groups stand in groups."""
    seen = {""}
    while parents.get(name, "None") not in {"None", *seen}:
        seen.add(name)
        name = parents[name]
    return UNCLASSIFIED if name in ("", "None") else name


def _order(corner: ElementTree.Element, name: str, path: Path) -> float:
    try:
        return float(corner.get("Order", "0"))
    except ValueError as error:
        order = corner.get("Order")
        raise InputError(f"{path}: {name} has a point of order {order!r}, no number") from error


def _ncrf(values: Mapping[str, Any], path: Path) -> tuple[list[Shape], list[str]]:
    shapes = []
    for group in ("positive", "negative"):
        entries = values.get(group, [])
        if not isinstance(entries, list):
            raise InputError(f"{path}: {group} is no list of outlines")
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or "vertices" not in entry:
                raise InputError(f"{path}: outline {number} of {group} has no vertices")
            name = str(entry.get("name", f"{group} {number}"))
            shapes.append(Shape(name, group, (_ring(entry["vertices"], name, path),)))
    return shapes, []


def _geojson(values: Any, path: Path) -> tuple[list[Shape], list[str]]:
    shapes: list[Shape] = []
    passed: dict[str, int] = {}
    for number, feature in enumerate(_features(values, path)):
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise InputError(f"{path}: feature {number} has properties that are no object")
        kind = str(properties.get("objectType", "annotation")).lower()
        if kind in OTHER_OBJECTS:
            passed[kind] = passed.get(kind, 0) + 1
            continue
        name = str(properties.get("name") or f"feature {number}")
        group = _class_of(properties)
        for polygon in _polygons(feature.get("geometry"), name, path, passed):
            rings = tuple(_ring(ring, name, path) for ring in polygon)
            if rings:
                shapes.append(Shape(name, group, rings))
    return shapes, _passed_over(passed)


def _features(values: Any, path: Path) -> list[dict[str, Any]]:
    if isinstance(values, dict) and values["type"] == "Feature":
        values = [values]
    elif isinstance(values, dict) and values["type"] == "FeatureCollection":
        values = values.get("features")
    good = isinstance(values, list) and all(
        isinstance(v, dict) and v.get("type") == "Feature" for v in values
    )
    if not good:
        raise InputError(f"{path}: expected GeoJSON with Feature or FeatureCollection")
    features: list[dict[str, Any]] = values
    return features


def _class_of(properties: Mapping[str, Any]) -> str:
    given = properties.get("classification")
    if isinstance(given, dict):
        names = given.get("names")
        given = given.get("name") or ": ".join(map(str, names if isinstance(names, list) else []))
    return str(given) if given else UNCLASSIFIED


def _polygons(geometry: Any, name: str, path: Path, passed: dict[str, int]) -> list[list[Any]]:
    if not isinstance(geometry, dict) or not isinstance(geometry.get("type"), str):
        raise InputError(f"{path}: {name} has no geometry")
    kind, coordinates = geometry["type"], geometry.get("coordinates")
    if kind == "GeometryCollection":
        parts = geometry.get("geometries") or []
        if not isinstance(parts, list):
            raise InputError(f"{path}: {name} is a {kind} without its list of geometries")
        return [p for part in parts for p in _polygons(part, name, path, passed)]
    if kind not in ("Polygon", "MultiPolygon"):
        passed[kind] = passed.get(kind, 0) + 1
        return []
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(p, list) for p in polygons):
        raise InputError(f"{path}: {name} is a {kind} without its lists of points")
    return polygons


def _ring(points: Any, name: str, path: Path) -> Points:
    """Return the points of a ring, the last one not that of the start again."""
    try:
        ring = np.array([[float(p[0]), float(p[1])] for p in points], np.float64).reshape(-1, 2)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: {name} has a point that is no pair of numbers") from error
    if not np.isfinite(ring).all():
        raise InputError(f"{path}: {name} has a point that is not finite")
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    return ring


def _passed_over(passed: Mapping[str, int]) -> list[str]:
    return [f"{n} of kind {kind} passed over, not an outline" for kind, n in passed.items()]
