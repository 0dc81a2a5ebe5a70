"""Each change against what it is said to be, computed otherwise."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate1d

from sentinode.stain import StainTarget, estimate, normalise, optical_density, to_rgb
from sentinode.stress.changes import (
    blurred,
    brighter,
    gamma,
    jpeg,
    noisy,
    restained,
    stronger,
    turned,
    white_balanced,
)
from sentinode.stress.conditions import FAMILIES, conditions

HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.21, 0.93, 0.30])
VECTORS = np.stack([v / np.linalg.norm(v) for v in (HAEMATOXYLIN, EOSIN)])


def stained(seed=0, n=3, side=64, vectors=VECTORS):
    """Patches of two stains in known amounts, and these: uint8 (N, S, S, 3), (N, S * S, 2)."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(1.5, 0.4, (n, side * side, 2)) * (rng.random((n, side * side, 1)) < 0.8)
    density = (amounts @ vectors).reshape(n, side, side, 3).astype(np.float32)
    return to_rgb(density, 256.0), amounts


IMAGES, _ = stained()
TARGET = StainTarget(
    method="macenko",
    vectors=((0.55, 0.75, 0.36), (0.30, 0.90, 0.31)),
    strongest=(1.2, 0.9),
)
ROWS = np.arange(len(IMAGES))


@pytest.mark.parametrize(
    "same",
    [
        brighter(IMAGES, 1),
        gamma(IMAGES, 1),
        white_balanced(IMAGES, 0),
        blurred(IMAGES, 0),
        noisy(IMAGES, 0, 1, ROWS),
        turned(IMAGES, 0),
        stronger(IMAGES, 1, 0),
        restained(IMAGES, 0, TARGET),
    ],
)
def test_neutral_changes_nothing(same):
    np.testing.assert_array_equal(same, IMAGES)


def test_light_and_tone_are_arithmetic():
    x = IMAGES.astype(float)
    np.testing.assert_array_equal(brighter(IMAGES, 1.4), np.clip(np.round(x * 1.4), 0, 255))
    bent = np.round(255 * (x / 255) ** 0.6)
    np.testing.assert_array_equal(gamma(IMAGES, 0.6), bent)
    warm = white_balanced(IMAGES, 0.1)
    for channel, gain in enumerate((1.1, 1.0, 0.9)):
        expected = np.clip(np.round(x[..., channel] * gain), 0, 255)
        assert np.abs(warm[..., channel] - expected).max() <= 1
    assert warm.dtype == np.uint8


def test_blur_is_a_gaussian_within_each_patch():
    offsets = np.arange(-8, 9)
    kernel = np.exp(-(offsets**2) / (2 * 2.0**2))
    kernel /= kernel.sum()
    expected = IMAGES.astype(float)
    for axis in (1, 2):
        expected = correlate1d(expected, kernel, axis=axis, mode="nearest")
    assert np.abs(blurred(IMAGES, 2.0) - expected).max() <= 1


def test_noise_is_of_the_said_strength_and_the_patch_own():
    flat = np.full((4, 64, 64, 3), 128, np.uint8)
    rows = np.array([5, 6, 7, 8])
    found = noisy(flat, 10, 3, rows)
    assert found.std() == pytest.approx(10, rel=0.03)
    assert found.mean() == pytest.approx(128, abs=0.3)
    np.testing.assert_array_equal(noisy(flat[:1], 10, 3, rows[2:3])[0], found[2])
    assert (noisy(flat, 10, 4, rows) != found).any()


def test_jpeg_is_what_is_read_of_such_a_file(tmp_path):
    found = jpeg(IMAGES, 30)
    Image.fromarray(IMAGES[1]).save(tmp_path / "a.jpg", quality=30)
    np.testing.assert_array_equal(found[1], np.asarray(Image.open(tmp_path / "a.jpg")))
    worse = [np.abs(jpeg(IMAGES, q).astype(int) - IMAGES).mean() for q in (90, 50, 10)]
    assert worse == sorted(worse)


def test_orientations_are_the_eight_of_the_square():
    square = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
    found = {turned(square, o).tobytes() for o in range(8)}
    turns = [np.rot90(square[0], k) for k in range(4)]
    expected = {np.ascontiguousarray(t).tobytes() for t in turns}
    expected |= {np.ascontiguousarray(t[:, ::-1]).tobytes() for t in turns}
    assert found == expected
    assert len(found) == 8


@pytest.mark.parametrize("stain", [0, 1])
def test_stronger_multiplies_the_amount_of_one_stain(stain):
    images, amounts = stained(seed=2, n=1)
    found = optical_density(stronger(images, 0.5, stain), 256.0).reshape(-1, 3)
    scaled = amounts[0].copy()
    scaled[:, stain] *= 0.5
    shown = (amounts[0] > 0.05).all(axis=1) & (amounts[0] < 2).all(axis=1)
    error = np.abs(found - scaled @ VECTORS)[shown]
    # Macenko's vectors are estimates; the rest is rounding to 256 levels
    assert error.mean() < 0.05
    assert error.mean() < 0.3 * np.abs(found - amounts[0] @ VECTORS)[shown].mean() + 0.02


def test_a_patch_without_stain_stays_as_it_is():
    blank = np.full((1, 32, 32, 3), 240, np.uint8)
    mixed = np.concatenate([blank, stained(side=32, n=1)[0]])
    found = stronger(mixed, 2.0, 1)
    np.testing.assert_array_equal(found[0], blank[0])
    assert (found[1] != mixed[1]).any()
    np.testing.assert_array_equal(stronger(blank, 2.0, 1), blank)
    np.testing.assert_array_equal(restained(blank, 1.0, TARGET), blank)


def test_the_way_to_a_target_ends_at_its_normalisation_and_goes_on():
    there = restained(IMAGES, 1.0, TARGET)
    assert np.abs(there.astype(int) - normalise(IMAGES, TARGET)).max() <= 1
    half = optical_density(restained(IMAGES, 0.5, TARGET), 256.0)
    middle = (optical_density(IMAGES, 256.0) + optical_density(there, 256.0)) / 2
    assert np.abs(half - middle)[middle < 2].max() < 0.05

    def angle(images):
        found = estimate(images)[:, 0].mean(axis=0)
        return np.arccos(found @ np.array(TARGET.vectors[0]) / np.linalg.norm(found))

    assert angle(there) < angle(restained(IMAGES, 0.5, TARGET)) < angle(IMAGES)
    assert (restained(IMAGES, 1.5, TARGET) != there).any()


def test_every_condition_keeps_shape_and_has_a_name_of_its_own():
    every = conditions({"stain 1": TARGET}, {"a/b c": TARGET}, seed=1)
    assert every[0].family == "clean"
    assert {c.family for c in every} == {"clean", *FAMILIES}
    assert len({c.file_name for c in every}) == len(every)
    for condition in every:
        found = condition.change(IMAGES, ROWS)
        assert (found.shape, found.dtype) == (IMAGES.shape, np.uint8), condition
        assert "/" not in condition.file_name
        if condition.family != "clean":
            assert (found != IMAGES).any(), condition


def test_other_settings_have_another_name():
    names = [
        {c.file_name for c in conditions({}, {"t": target}, seed)}
        for target, seed in (
            (TARGET, 1),
            (TARGET, 2),
            (TARGET.model_copy(update={"strongest": (1.0, 1.0)}), 1),
        )
    ]
    assert len(names[0] - names[1]) == len(FAMILIES["noise"].strengths)
    assert len(names[0] - names[2]) == len(FAMILIES["target"].strengths)
