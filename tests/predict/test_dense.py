"""Dense inference, position by position against the patch alone."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sentinode.data.loader import to_input
from sentinode.errors import InputError
from sentinode.models import Compute, Run, folded, new_network, resolve_run, spec
from sentinode.phantom import make_slide
from sentinode.predict.dense import Dense
from sentinode.types import UInt8Array

CPU = Compute("cpu", "float32", 2)
BFLOAT16 = Compute("cpu", "bfloat16", 2)


@pytest.fixture(scope="module")
def run() -> Run:
    return resolve_run("nodenet-base")


@pytest.fixture(scope="module")
def region() -> UInt8Array:
    return make_slide(3, 1, 352).image[:310].copy()  # no side fits the grid


def probability(run: Run, logits: object) -> np.ndarray:
    calibration = run.calibration()
    assert calibration is not None
    return calibration.apply(np.asarray(logits))


def alone(run: Run, region: UInt8Array, stride: int) -> np.ndarray:
    """Cut every patch out by itself and ask the network as it was trained."""
    network, size = run.load(), run.spec.preprocess.size
    places = [range(0, side - size + 1, stride) for side in region.shape[:2]]
    patches = [region[y : y + size, x : x + size] for y in places[0] for x in places[1]]
    with torch.inference_mode():
        batch = to_input(torch.from_numpy(np.stack(patches)), run.spec.preprocess)
        logits = network(batch).numpy()
    return logits.reshape(len(places[0]), len(places[1]))


class NormWithReLU(nn.BatchNorm2d):
    """As timm has them."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(values))


def test_only_plain_layers_are_folded() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), NormWithReLU(4), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
    ).eval()
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    made = folded(network)  # type: ignore[type-var]
    assert [type(layer) for layer in made.children()] == [
        nn.Conv2d,
        NormWithReLU,
        nn.Conv2d,
        nn.Identity,
    ]
    torch.testing.assert_close(made(images), network(images))


@pytest.mark.parametrize(("stride", "tile"), [(32, 24), (32, 3), (32, 1), (16, 5), (64, 2)])
def test_every_position_is_the_patch_alone(
    run: Run, region: UInt8Array, stride: int, tile: int
) -> None:
    expected = probability(run, alone(run, region, stride))
    found = probability(run, Dense(run, stride, CPU, tile).logits(region))
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_every_eighth_pixel_too(run: Run, region: UInt8Array) -> None:
    small = region[:136, :160]
    found = probability(run, Dense(run, 8, CPU, 4).logits(small))
    np.testing.assert_allclose(found, probability(run, alone(run, small, 8)), rtol=0, atol=1e-5)


def test_reduced_precision_moves_probabilities_by_hundredths(run: Run, region: UInt8Array) -> None:
    expected = probability(run, alone(run, region, 32))
    found = probability(run, Dense(run, 32, BFLOAT16, 4).logits(region))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.5e-2)
    assert np.abs(found - expected).mean() < 5e-3


def test_a_network_with_padding_runs_patch_by_patch_and_says_so(
    run: Run, region: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded = spec("baseline-colour")
    network = new_network(padded, 5).eval()
    monkeypatch.setattr(Run, "load", lambda self: network)
    other = dataclasses.replace(run, spec=padded)
    dense = Dense(other, 30, CPU, tile=3, batch_size=4)
    assert "patch by patch" in dense.said
    assert "zeros" in dense.said
    found = dense.logits(region)
    np.testing.assert_allclose(found, alone(other, region, 30), rtol=0, atol=1e-5)


def test_a_tile_too_large_for_memory_is_made_smaller(
    run: Run, region: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = Dense(run, 32, CPU, tile=8)
    expected = dense.logits(region)
    given = dense._input
    refused = []

    def tight(images: UInt8Array) -> torch.Tensor:
        if images.shape[1] > limit:
            refused.append(images.shape)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return given(images)

    limit = 96 + 32 * 2
    monkeypatch.setattr(dense, "_input", tight)
    np.testing.assert_allclose(dense.logits(region), expected, atol=1e-4)
    assert len(refused) == 2  # 8 and 4 positions were too many, 2 were not
    limit = 10
    with pytest.raises(InputError, match=r"one patch .* does not fit in memory.*device=cpu"):
        dense.logits(region)


def test_what_does_not_suit_the_network(run: Run, region: UInt8Array) -> None:
    with pytest.raises(InputError, match=r"multiple of it, got 20"):
        Dense(run, 20, CPU)
    with pytest.raises(InputError, match=r"at least 96x96 px, got 352x50"):
        Dense(run, 32, CPU).logits(region[:50])


def test_folded_gives_the_same_logits(run: Run, region: UInt8Array) -> None:
    network = run.load()
    batch = to_input(torch.from_numpy(region[None, :96, :96]), run.spec.preprocess)
    with torch.inference_mode():
        assert folded(network)(batch).item() == pytest.approx(network(batch).item(), abs=1e-4)
