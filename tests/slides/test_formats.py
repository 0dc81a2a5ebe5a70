"""Annotation files as the programs write them, and broken ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from sentinode.errors import InputError, MissingInputError
from sentinode.slides.annotation import Outlines, Shape, meanings
from sentinode.slides.fill import Box
from sentinode.slides.formats import read_shapes
from sentinode.slides.truth import Reading, open_truth

SIZE = (100, 80)
WHOLE = Box(0, 0, *SIZE)
REAL = Path(__file__).parents[2].parent / "shared/data/annotations/ncrf_Tumor_045.json"


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def asap(*annotations: tuple[str, str, list[list[float]]], groups: str = "") -> str:
    """XML as ASAP writes it: name, group and points of each annotation."""
    lines = ['<?xml version="1.0"?>', "<ASAP_Annotations>", "\t<Annotations>"]
    for number, (kind, group, points) in enumerate(annotations):
        lines.append(
            f'\t\t<Annotation Name="Annotation {number}" Type="{kind}" PartOfGroup="{group}" '
            'Color="#F4FA58">'
        )
        lines.append("\t\t\t<Coordinates>")
        order = list(enumerate(points))
        for i, (x, y) in order[::-1]:  # the order is in the attribute, not of the lines
            lines.append(f'\t\t\t\t<Coordinate Order="{i}" X="{x}" Y="{y}" />')
        lines += ["\t\t\t</Coordinates>", "\t\t</Annotation>"]
    lines += ["\t</Annotations>", f"\t<AnnotationGroups>{groups}</AnnotationGroups>"]
    return "\n".join([*lines, "</ASAP_Annotations>"])


def truth_of(path: Path, text: str, **reading: object) -> Outlines:
    path.write_text(text)
    truth = open_truth(path, SIZE, Reading(**reading))  # type: ignore[arg-type]
    assert isinstance(truth, Outlines)
    return truth


@pytest.mark.parametrize(("inside", "hole"), [("Tumor", "Exclusion"), ("_0", "_2"), ("_1", "_2")])
def test_asap_as_camelyon_has_it(tmp_path: Path, inside: str, hole: str) -> None:
    text = asap(
        ("Polygon", inside, square(10, 10, 30)),
        ("Spline", inside, square(30.2, 30.2, 20)),
        ("Polygon", hole, square(15, 15, 10)),
        ("Dot", inside, [[70, 70]]),
    )
    truth = truth_of(tmp_path / "a.xml", text)
    expected = np.zeros((80, 100), bool)
    expected[10:40, 10:40] = expected[30:50, 30:50] = True
    expected[15:25, 15:25] = False
    np.testing.assert_array_equal(truth.tumour(WHOLE), expected)
    assert truth.notices == ("1 of kind Dot passed over, not an outline",)
    assert truth.bounds() == Box(10, 10, 41, 41)


def test_asap_groups_in_groups_and_no_group(tmp_path: Path) -> None:
    text = asap(
        ("Polygon", "focus 3", square(10, 10, 5)),
        groups='<Group Name="metastases" PartOfGroup="None" Color="#64FE2E"/>'
        '<Group Name="focus 3" PartOfGroup="metastases" Color="#64FE2E"/>',
    )
    assert truth_of(tmp_path / "a.xml", text).tumour(WHOLE).sum() == 25
    alone = asap(("Polygon", "None", square(10, 10, 5)))
    with pytest.raises(InputError, match=r"class 'unclassified' means.*--class"):
        truth_of(tmp_path / "a.xml", alone)
    assert truth_of(tmp_path / "a.xml", alone, classes={"Unclassified": "tumour"}).bounds()


def test_ncrf(tmp_path: Path) -> None:
    values = {
        "positive": [{"name": "_0", "vertices": square(10, 10, 30)}],
        "negative": [{"name": "_1", "vertices": square(20, 20, 5)}],
    }
    assert truth_of(tmp_path / "a.json", json.dumps(values)).tumour(WHOLE).sum() == 900 - 25


@pytest.mark.skipif(not REAL.is_file(), reason="the real annotation is not here")
def test_the_real_ncrf_file() -> None:
    kind, shapes, notices = read_shapes(REAL)
    assert (kind, notices) == ("ncrf", [])
    assert [len(s.rings[0]) for s in shapes] == [2238, 213]
    truth = Outlines(meanings(shapes, {}, "real"))
    box = truth.bounds()
    assert box is not None
    pixels = int(truth.tumour(box).sum())
    assert pixels == pytest.approx(sum(map(shoelace, shapes)), rel=1e-3)
    with pytest.raises(InputError, match="all outside of the slide of 100x80 px"):
        open_truth(REAL, SIZE, Reading())


def shoelace(shape: Shape) -> float:
    x, y = shape.rings[0].T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def feature(geometry: str, coordinates: object, name: object, kind: str = "annotation") -> dict:
    classification = {"name": name, "color": [200, 0, 0]} if isinstance(name, str) else name
    return {
        "type": "Feature",
        "id": "3f6f9d2c-0000-4000-8000-000000000000",
        "geometry": {"type": geometry, "coordinates": coordinates},
        "properties": {"objectType": kind, "classification": classification},
    }


def closed(x: float, y: float, side: float) -> list[list[float]]:
    return [*square(x, y, side), [x, y]]


def test_geojson_as_qupath_writes_it(tmp_path: Path) -> None:
    holed = [closed(10, 10, 20), closed(15, 15, 5)]
    features = [
        feature("Polygon", holed, "Tumor"),
        feature("MultiPolygon", [[closed(40, 40, 5)], [closed(50, 40, 5)]], "Tumor: Positive"),
        feature("Polygon", [closed(42, 42, 2)], {"names": ["Other"]}),
        feature("Polygon", [closed(60, 60, 9)], "Ignore*"),
        feature("Polygon", [closed(70, 10, 9)], "Tumor", kind="detection"),
        feature("LineString", square(1, 1, 3), "Tumor"),
    ]
    expected = 400 - 25 + 50 - 4
    for values in ({"type": "FeatureCollection", "features": features}, features):
        truth = truth_of(tmp_path / "a.geojson", json.dumps(values))
        assert truth.tumour(WHOLE).sum() == expected
        unknown = truth.unknown(WHOLE)
        assert unknown is not None
        assert unknown.sum() == 81
        assert len(truth.notices) == 2
    assert truth_of(tmp_path / "a.geojson", json.dumps(features[0])).tumour(WHOLE).sum() == 375


def test_what_no_outline_encloses_may_be_unknown(tmp_path: Path) -> None:
    features = [
        feature("Polygon", [closed(10, 10, 10)], "Tumor"),
        feature("Polygon", [closed(30, 10, 10)], "Normal"),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    assert truth_of(tmp_path / "a.geojson", text).unknown(WHOLE) is None
    unknown = truth_of(tmp_path / "a.geojson", text, only_annotated=True).unknown(WHOLE)
    assert unknown is not None
    assert (~unknown).sum() == 200


def test_unclosed_degenerate_and_crossing_rings_are_told(tmp_path: Path) -> None:
    eight = [[60, 10], [80, 30], [80, 10], [60, 30]]
    features = [
        feature("Polygon", [square(10, 10, 10)], "Tumor"),  # not closed
        feature("Polygon", [[[1, 1], [5, 5], [1, 1]]], "Tumor"),
        feature("Polygon", [[[1, 1], [5, 1], [9, 1], [1, 1]]], "Tumor"),
        feature("Polygon", [eight], "Tumor"),
        feature("Polygon", [], "Tumor"),
    ]
    truth = truth_of(tmp_path / "a.geojson", json.dumps(features))
    assert truth.tumour(WHOLE)[:, :30].sum() == 100
    assert truth.tumour(WHOLE)[:, 50:].sum() == pytest.approx(200, abs=20)
    told = " / ".join(truth.notices)
    assert told.count("encloses nothing") == 2
    assert "feature 3 crosses itself" in told


def test_strange_classes_are_named_all(tmp_path: Path) -> None:
    features = [
        feature("Polygon", [closed(10, 10, 10)], "Tumour bed"),
        feature("Polygon", [closed(10, 10, 10)], "Stroma"),
        feature("Polygon", [closed(10, 10, 10)], None),
    ]
    text = json.dumps(features)
    with pytest.raises(InputError, match="'Stroma', 'Tumour bed', 'unclassified'"):
        truth_of(tmp_path / "a.geojson", text)
    given = {"stroma": "normal", "tumour BED": "tumour", "unclassified": "ignore"}
    assert not truth_of(tmp_path / "a.geojson", text, classes=given).tumour(WHOLE).any()


def test_beyond_the_slide_and_empty(tmp_path: Path) -> None:
    over = asap(("Polygon", "Tumor", square(90, 70, 30)))
    truth = truth_of(tmp_path / "a.xml", over)
    assert truth.tumour(WHOLE).sum() == 100
    assert "reaches 20 px out of the slide" in truth.notices[0]
    assert "holds no outline" in truth_of(tmp_path / "a.xml", asap()).notices[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.xml", "<ASAP_Annotations><Annot", "damaged: expected ASAP's XML"),
        ("a.xml", "<Annotations/>", "expected ASAP_Annotations at the top"),
        ("a.xml", asap(("Polygon", "Tumor", [[1, 1]])).replace('X="1"', 'X="1,5"'), "no pair of"),
        ("a.xml", asap(("Polygon", "Tumor", [[1, 1]])).replace('Order="0"', 'Order="a"'), "order"),
        ("a.json", '{"positive": [', "damaged: expected JSON"),
        ("a.json", '{"positive": 3}', "no list of outlines"),
        ("a.json", '{"positive": [{"name": "x"}]}', "no vertices"),
        ("a.json", '{"positive": [{"vertices": [[1]]}]}', "no pair of numbers"),
        ("a.json", '{"positive": [{"vertices": [[1, NaN]]}]}', "not finite"),
        ("a.json", '{"shapes": []}', "holds no outlines"),
        ("a.geojson", '{"type": "Point"}', "expected GeoJSON with Feature"),
        ("a.geojson", '{"type": "Feature"}', "no geometry"),
        (
            "a.geojson",
            '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [3]}}]',
            "no pair of numbers",
        ),
        ("a.geojson", '[{"type": "Feature", "properties": [1]}]', "feature 0 has properties"),
        (
            "a.geojson",
            '[{"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": 5}}]',
            "without its list of geometries",
        ),
        (
            "a.geojson",
            '[{"type": "Feature", "properties": {"classification": {"names": 5}}}]',
            "no geometry",
        ),
        ("a.json", '{"positive": [{"vertices": [[1, 1' + "0" * 400 + "]]}]}", "no pair of numbers"),
        ("a.json", "[" * 100_000, "damaged: expected JSON"),
        ("a.csv", "x,y", "no annotation; expected ASAP"),
    ],
)
def test_damaged_files_are_said(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        open_truth(tmp_path / name, SIZE, Reading())


def test_no_file(tmp_path: Path) -> None:
    for name in ("a.xml", "a.png", "a.tif"):
        with pytest.raises(MissingInputError, match="no "):
            open_truth(tmp_path / name, SIZE, Reading())
    (tmp_path / "b.xml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="expected ASAP"):
        open_truth(tmp_path / "b.xml", SIZE, Reading())
