"""The stain space: outliers by a stated rule, slides named."""

import numpy as np
import pytest

from builders.looked import EOSIN, HAEMATOXYLIN, looked_set, stained
from sentinode.config import AuditConfig
from sentinode.explore.stains import chromaticity, lying_apart, named_alike, stains_of


def turned(vector, degrees, towards):
    """Turn a unit vector by an angle towards another one."""
    unit = vector / np.linalg.norm(vector)
    aside = towards - (towards @ unit) * unit
    angle = np.radians(degrees)
    return np.cos(angle) * unit + np.sin(angle) * aside / np.linalg.norm(aside)


def cohort(degrees, eosin=0.0):
    """Stain vectors of slides whose haematoxylin is turned by given angles."""
    first = np.stack([turned(HAEMATOXYLIN, d, np.array([0.0, 0.0, 1.0])) for d in degrees])
    second = turned(EOSIN, eosin, np.array([1.0, 0.0, 0.0]))
    return np.stack([first, np.broadcast_to(second, first.shape)], axis=1)


def test_the_one_that_is_turned_is_found():
    angles = [-6, -4.5, -3, -1.5, 0, 1.5, 3, 4.5, 25]
    apart = lying_apart(cohort(angles))
    np.testing.assert_array_equal(apart.outlying[:, 0], [False] * 8 + [True])
    assert not apart.outlying[:, 1].any()
    np.testing.assert_allclose(apart.angles[:, 0], np.abs(angles), atol=1e-5)
    usual = np.median(np.abs(angles))
    deviation = np.median(np.abs(np.abs(angles) - usual))
    assert apart.limits[0] == pytest.approx(usual + 3.5 * 1.4826 * deviation, abs=1e-5)
    assert apart.limits[1] == 5.0


def test_nearly_equal_slides_are_never_apart():
    apart = lying_apart(cohort([0, 0, 0, 0, 0, 0, 4.5]))
    assert not apart.outlying.any()
    assert lying_apart(cohort([0, 0, 0, 0, 0, 0, 5.5])).outlying[6, 0]


def test_slides_without_an_estimate_stand_aside():
    vectors = cohort([0, 0.5, 1, -0.5, -1, 20, 0])
    vectors[6] = np.nan
    apart = lying_apart(vectors)
    assert apart.outlying[:, 0].tolist() == [False] * 5 + [True, False]
    assert np.isnan(apart.angles[6]).all()
    few = lying_apart(vectors[:4])
    assert np.isnan(few.limits).all()
    assert not few.outlying.any()


def test_exchanged_vectors_are_put_right():
    right = cohort([0, 0.5, 1, -0.5, -1, 0.2, 0.3])
    wrong = right.copy()
    wrong[2] = wrong[2, ::-1]
    np.testing.assert_array_equal(named_alike(wrong), right)
    np.testing.assert_array_equal(named_alike(right), right)
    np.testing.assert_array_equal(named_alike(wrong[:3]), wrong[:3])


def test_a_black_patch_does_not_turn_its_slide(tmp_path):
    images = np.concatenate([stained(4, 48, seed=i) for i in range(6)])
    images[3] = 3
    images[9] = np.array([60, 40, 90]) + np.arange(48)[:, None, None] // 8
    packed = looked_set(tmp_path / "set", images, slide=np.repeat(list("abcdef"), 4))
    stains = stains_of(packed, AuditConfig(), seed=0)
    assert {row.name: row.patches for row in stains.rows}["a"] == 3
    assert {row.name: row.patches for row in stains.rows}["c"] == 3
    assert [row.name for row in stains.rows if row.outlying] == []


def test_the_plane_keeps_stains_apart_and_forgets_thickness():
    h, e = chromaticity(HAEMATOXYLIN), chromaticity(EOSIN)
    assert np.linalg.norm(h - e) > 1
    np.testing.assert_allclose(chromaticity(3 * HAEMATOXYLIN), h)
    np.testing.assert_allclose(chromaticity(np.ones(3)), [0, 0], atol=1e-12)
    np.testing.assert_allclose(chromaticity(np.array([0.0, 0.5, 0.0])), [-1, np.sqrt(3)])


def test_slides_are_estimated_and_the_odd_one_is_named(tmp_path):
    slides = np.repeat([f"s{i}" for i in range(9)], 4)
    images = np.concatenate(
        [stained(4, 48, seed=i, tilt=0.5 if i == 5 else 0.01 * i) for i in range(9)]
    )
    packed = looked_set(tmp_path / "set", images, slide=slides)
    stains = stains_of(packed, AuditConfig(), seed=0)
    assert stains.by == "slide"
    assert sorted(row.name for row in stains.rows) == sorted(set(slides))
    assert [row.name for row in stains.rows if row.outlying] == ["s5"]
    plain = next(row for row in stains.rows if row.name == "s0")
    assert np.degrees(np.arccos(np.dot(plain.eosin, EOSIN / np.linalg.norm(EOSIN)))) < 8
    assert plain.patches == 4


def test_without_slides_random_groups_are_taken(tmp_path):
    packed = looked_set(tmp_path / "set", stained(70, 24))
    stains = stains_of(packed, AuditConfig(), seed=0)
    assert stains.by == "random group"
    assert [row.patches for row in stains.rows] == [32, 32]
    assert stains.limits is None
    assert stains_of(packed, AuditConfig(), seed=0) == stains


def test_glass_gives_no_estimate(tmp_path):
    images = np.full((12, 32, 32, 3), 240, np.uint8)
    slides = ["a"] * 6 + ["b"] * 6
    packed = looked_set(tmp_path / "set", images, slide=slides, tissue=None, sharpness=None)
    rows = stains_of(packed, AuditConfig(), seed=0).rows
    assert [row.haematoxylin for row in rows] == [None, None]
    measured = looked_set(tmp_path / "other", images)
    assert stains_of(measured, AuditConfig(), seed=0).rows == ()
