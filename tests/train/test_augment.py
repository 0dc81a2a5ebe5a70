import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sentinode.config import AugmentConfig
from sentinode.train.augment import augmented, mixed


def patches(count: int = 8, side: int = 12) -> torch.Tensor:
    drawn = np.random.default_rng(1).integers(0, 256, (count, side, side, 3))
    return torch.from_numpy(drawn.astype(np.uint8))


def changed(batch: torch.Tensor, seed: int = 0, **keys: object) -> torch.Tensor:
    settings = AugmentConfig.model_validate(keys)
    return augmented(batch, settings, np.random.default_rng(seed))


def test_nothing_is_changed_unless_asked_for() -> None:
    batch = patches()
    assert changed(batch) is batch


def orientations_of(patch: np.ndarray) -> dict[bytes, str]:
    turned = {f"turn{k}": np.rot90(patch, k) for k in range(4)}
    turned |= {f"flip{k}": np.rot90(patch[:, ::-1], k) for k in range(4)}
    return {np.ascontiguousarray(image).tobytes(): name for name, image in turned.items()}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("flips", {"turn0", "flip0", "turn2", "flip2"}),
        ("all", {f"{kind}{k}" for kind in ("turn", "flip") for k in range(4)}),
    ],
)
def test_orientations_are_exact_and_all_occur(asked: str, expected: set[str]) -> None:
    patch = patches(1)
    known = orientations_of(patch[0].numpy())
    out = changed(patch.repeat(200, 1, 1, 1), orientations=asked)
    names = [known[image.numpy().tobytes()] for image in out]
    assert set(names) == expected
    assert min(names.count(name) for name in expected) > 0.5 * len(names) / len(expected)


def test_a_shift_moves_whole_pixels_and_mirrors_the_rim() -> None:
    patch = patches(1)
    padded = np.pad(patch[0].numpy(), ((3, 3), (3, 3), (0, 0)), mode="reflect")
    known = {
        np.ascontiguousarray(padded[3 + dy : 15 + dy, 3 + dx : 15 + dx]).tobytes(): (dy, dx)
        for dy in range(-3, 4)
        for dx in range(-3, 4)
    }
    out = changed(patch.repeat(300, 1, 1, 1), shift=3)
    moves = {known[image.numpy().tobytes()] for image in out}
    assert len(moves) > 40


def test_a_turn_leaves_the_middle_in_the_middle_and_some_patches_sharp() -> None:
    batch = torch.full((50, 13, 13, 3), 40, dtype=torch.uint8)
    batch[:, 6, 6] = 240
    out = changed(batch, turn=180, zoom=0.2)
    assert (out[:, 6, 6, 0] == 240).all()
    assert torch.equal(changed(patches(), turn=0, zoom=0), patches())
    sharp = [
        torch.equal(a, b) for a, b in zip(changed(patches(60), turn=90), patches(60), strict=True)
    ]
    assert 3 < sum(sharp) < 25


def test_a_small_turn_agrees_with_scipy() -> None:
    from scipy.ndimage import affine_transform, gaussian_filter

    image = gaussian_filter(np.random.default_rng(0).uniform(0, 255, (33, 33)), 2)
    image = (image - image.min()) / np.ptp(image) * 255
    batch = torch.from_numpy(np.repeat(image.astype(np.uint8)[None, ..., None], 3, -1))
    seeds = [s for s in range(20) if np.random.default_rng(s).uniform(size=1)[0] < 0.8]
    rng = np.random.default_rng(seeds[0])
    rng.uniform(size=1)
    angle = np.deg2rad(30) * rng.uniform(-1, 1, 1)[0]
    out = changed(batch, seed=seeds[0], turn=30)[0, ..., 0].numpy().astype(float)
    # A place (x, y) takes what lay at (x cos - y sin, x sin + y cos).
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([16.0, 16.0])
    expected = affine_transform(
        batch[0, ..., 0].numpy().astype(float), matrix, centre - matrix @ centre, order=1
    )
    assert np.abs(out - expected)[8:-8, 8:-8].max() <= 1


def test_stain_and_light_change_each_patch_by_itself_within_their_limits() -> None:
    batch = torch.full((40, 4, 4, 3), 150, dtype=torch.uint8)
    lit = changed(batch, light=0.1).float()
    assert (lit.amax((1, 2)) == lit.amin((1, 2))).all()
    assert 134 <= lit.min() < 140
    assert 160 < lit.max() <= 165
    stained = changed(batch, stain=0.3, stain_offset=0.05).float()
    assert len(torch.unique(stained[:, 0, 0], dim=0)) > 30
    assert not torch.equal(stained, changed(batch, seed=1, stain=0.3, stain_offset=0.05).float())
    assert torch.equal(stained, changed(batch, stain=0.3, stain_offset=0.05).float())


def test_stains_are_taken_from_other_patches_of_the_batch() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.gamma(2.0, 0.4, (6, 32, 32, 2)) * (rng.random((6, 32, 32, 2)) < 0.7)
    vectors = np.array([[0.6, 0.7, 0.35], [0.2, 0.93, 0.3]]) + rng.normal(0, 0.05, (6, 2, 3))
    batch = torch.from_numpy((240 * np.exp(-amounts @ vectors[:, None])).astype(np.uint8))
    out = changed(batch, stain_mix=1.0)
    assert torch.equal(out, changed(batch, stain_mix=1.0))
    assert (out != batch).flatten(1).any(1).sum() >= 4  # one may be drawn for itself
    assert (out.float() - batch.float()).abs().mean() < 25


def test_half_of_the_patches_are_blurred_and_none_beyond_its_limit() -> None:
    patch = patches(1, 32)
    batch = patch.expand(60, -1, -1, -1)
    out = changed(batch, blur=2.0)
    assert torch.equal(out, changed(batch, blur=2.0))
    assert 20 <= (out == batch).flatten(1).all(1).sum() <= 42
    away = [np.abs(out.numpy() - _softened(patch[0], s)).max((1, 2, 3)) for s in SIGMAS]
    assert (np.min(away, 0) <= 6).all()  # each is the patch under a Gaussian of one width
    widths = SIGMAS[np.argmin(away, 0)]
    assert widths.max() > 1.6
    assert len(np.unique(widths)) > 15


SIGMAS = np.arange(0.0, 2.01, 0.02)


def _softened(patch: torch.Tensor, sigma: float) -> NDArray[np.float64]:
    return gaussian_filter(patch.double().numpy(), (sigma, sigma, 0), mode="mirror", truncate=4)


def test_mixing_keeps_the_larger_share_of_each_patch() -> None:
    inputs = torch.eye(6).reshape(6, 6, 1, 1)
    targets = torch.tensor([0.0, 1, 0, 1, 0, 1])
    for seed in range(10):
        images, labels = mixed(
            inputs, targets, AugmentConfig(mixup=0.4), np.random.default_rng(seed)
        )
        weights = images.reshape(6, 6)
        assert (weights.diagonal() >= 0.5).all()
        assert torch.allclose(weights.sum(1), torch.ones(6))
        assert torch.allclose(labels, weights @ targets)
    same = mixed(inputs, targets, AugmentConfig(), np.random.default_rng(0))
    assert same[0] is inputs
    assert same[1] is targets
