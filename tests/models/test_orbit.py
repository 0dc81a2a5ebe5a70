import pytest
import torch
from torch.nn.functional import conv2d

from sentinode.errors import InputError
from sentinode.models import build, new_network, spec, summarise
from sentinode.models.nodenet import nodenet
from sentinode.models.orbit import ORIENTATIONS, LiftingConv, OrbitConv, OrbitNorm, turned
from sentinode.types import Preprocess

TINY = nodenet("tiny", (2, 3, 4))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def orientation_of(value: torch.Tensor, orientation: int) -> torch.Tensor:
    return turned(value, orientation)


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_the_same_logit_however_the_patch_lies(orientation: int) -> None:
    network = new_network(TINY, 1).eval()
    patches = drawn(3, 3, 96, 96)
    with torch.no_grad():
        expected, found = network(patches), network(turned(patches, orientation))
    assert expected.std() > 0.05  # it says something
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_kernels_are_those_of_a_convolution_over_the_group() -> None:
    """Turned input, turned output: feature g of it is feature h^-1 g of the input as it lay."""
    generator = torch.Generator().manual_seed(0)
    lift, conv = LiftingConv(3, 2, 3), OrbitConv(2, 4, 3, stride=1)
    lift.initialise(generator)
    conv.initialise(generator)
    image = drawn(1, 3, 12, 12)
    with torch.no_grad():
        plain = conv(lift(image)).reshape(4, ORIENTATIONS, 8, 8)
        for orientation in range(ORIENTATIONS):
            moved = conv(lift(turned(image, orientation))).reshape(4, ORIENTATIONS, 8, 8)
            back = [turned(plain[:, g], orientation) for g in range(ORIENTATIONS)]
            places = [
                next(
                    i
                    for i in range(ORIENTATIONS)
                    if torch.allclose(back[i], moved[:, g], atol=1e-4)
                )
                for g in range(ORIENTATIONS)
            ]
            assert sorted(places) == list(range(ORIENTATIONS))


def test_dense_gives_at_each_place_what_the_patch_gives() -> None:
    network = new_network(TINY, 2).eval()
    region = drawn(1, 3, 96 + 8 * 3, 96 + 8 * 2 + 5)
    with torch.no_grad():
        dense = network.dense(region)[0]  # type: ignore[operator]
        assert dense.shape == (4, 3)
        for i in range(4):
            for j in range(3):
                patch = region[:, :, 8 * i : 8 * i + 96, 8 * j : 8 * j + 96]
                assert network(patch).item() == pytest.approx(dense[i, j].item(), abs=1e-5)


def test_the_norm_pools_the_statistics_of_all_orientations() -> None:
    norm = OrbitNorm(2, momentum=1.0)
    norm.initialise()
    values = drawn(16, 2 * ORIENTATIONS, 5, 5) * 3 + 1
    norm.train()(values)
    by_feature = values.reshape(16, 2, ORIENTATIONS, 25).transpose(0, 1).reshape(2, -1)
    assert torch.allclose(norm.running_mean, by_feature.mean(1), atol=1e-5)
    assert torch.allclose(norm.running_var, by_feature.var(1), rtol=0.01)
    out = norm.eval()(values).reshape(16, 2, ORIENTATIONS, 25).transpose(0, 1).reshape(2, -1)
    assert torch.allclose(out.mean(1), torch.zeros(2), atol=1e-4)
    assert torch.allclose(out.std(1), torch.ones(2), atol=0.01)


def test_training_and_inference_cut_the_same_rim_and_its_gradient_is_a_slice_s() -> None:
    from sentinode.models.nodenet import Residual

    layer = Residual([1])
    assert isinstance(layer.conv, OrbitConv)
    layer.conv.initialise(torch.Generator().manual_seed(0))
    layer.norm.initialise()
    with torch.no_grad():
        layer.norm.weight.zero_()  # only the way past the convolution is left
    values = drawn(2, 8, 6, 6).requires_grad_()
    out = layer.train()(values)
    assert torch.equal(out, values[:, :, 1:-1, 1:-1])
    (out * drawn(2, 8, 4, 4, seed=1)).sum().backward()
    assert values.grad is not None
    expected = torch.zeros(2, 8, 6, 6)
    expected[:, :, 1:-1, 1:-1] = drawn(2, 8, 4, 4, seed=1)
    assert torch.allclose(values.grad, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"widths": [2, 3]}, "three widths"),
        ({"widths": [2, 0, 3]}, "three widths"),
        ({"widths": [2, 10**12, 3]}, "three widths of 1 to 1024"),
        ({"dropout": 1.0}, "dropout lies in"),
        ({"beside": [[2, 3]]}, "three widths"),
        ({"beside": [[2, 3, 4], [2, 0, 3]]}, "three widths"),
        ({"beside": [[2, 3, 1021]]}, "1024 features a stage at most"),
        ({"beside": 7}, "must be an iterable, not int"),
    ],
)
def test_impossible_networks_are_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(TINY.model_copy(update={"args": TINY.args | keys}))
    other = TINY.model_copy(update={"preprocess": Preprocess(size=64)})
    with pytest.raises(InputError, match="96 px, got 64 px"):
        build(other)


def test_the_sizes_keep_their_cost() -> None:
    flop = {size: summarise(spec(f"nodenet-{size}")).flop for size in ("small", "base", "large")}
    assert 3 * flop["small"] < flop["base"] < flop["large"] < 0.75e9
    # Kernels count as convolutions of their own, so an ordinary convolution costs the same.
    assert conv2d(drawn(1, 3, 8, 8), drawn(2, 3, 4, 4), stride=2).shape == (1, 2, 3, 3)
