"""Attribution against captum, worked-out formulas and the networks' own symmetry."""

import captum.attr
import numpy as np
import pytest
import torch

from sentinode.errors import InputError
from sentinode.explain import CAMS, METHODS, Explainer, choose_layer, fields_of
from sentinode.explain.fields import Field, effective_side, place
from sentinode.models import ModelSpec, Network, Run, choose_compute, new_network
from sentinode.models import spec as named
from sentinode.models.nodenet import nodenet
from sentinode.types import Preprocess

COMPUTE = choose_compute("cpu", "float32")


def explainer(run: Run, method: str, **more: object) -> Explainer:
    return Explainer.of(run.load(), run.spec, COMPUTE, method, **more)  # type: ignore[arg-type]


def activations_and_gradients(
    run: Run, images: np.ndarray, layer: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take both by cutting the stack of layers in two, without a hook."""
    network = run.load()
    inputs = explainer(run, "occlusion").inputs(images)
    stack = network.layers
    assert isinstance(stack, torch.nn.Sequential)
    at = [name for name, _ in stack.named_children()].index(layer.removeprefix("layers.")) + 1
    inner = stack[:at](inputs).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(stack[at:](inner).sum(), inner)
    return inner.detach(), gradient


def test_cams_are_their_formulas(run: Run, images: np.ndarray) -> None:
    a, g = activations_and_gradients(run, images, "layers.relu4")
    sums = lambda t: t.sum((2, 3), keepdim=True)  # noqa: E731
    alpha = g**2 / (2 * g**2 + sums(a) * g**3)
    expected = {
        "gradcam": (g.mean((2, 3), keepdim=True) * a).sum(1),
        "gradcam++": (sums(alpha.nan_to_num() * g.relu()) * a).sum(1),
        "xgradcam": ((sums(g * a) / sums(a)).nan_to_num() * a).sum(1),
        "hirescam": (g * a).sum(1),
        "layercam": (g.relu() * a).sum(1),
    }
    assert set(expected) == set(CAMS)
    field = fields_of(run.load(), run.spec.preprocess, ["layers.relu4"])["layers.relu4"]
    for method, values in expected.items():
        found = explainer(run, method, layer="layers.relu4").maps(images)
        np.testing.assert_allclose(found, place(values, field), rtol=2e-4, atol=1e-7)


def test_gradcam_is_captums(run: Run, images: np.ndarray) -> None:
    network = run.load().eval()
    inputs = explainer(run, "gradcam").inputs(images).requires_grad_()
    layer = network.get_submodule("layers.relu4")
    expected = captum.attr.LayerGradCam(network, layer).attribute(inputs)
    stretched = captum.attr.LayerAttribution.interpolate(expected, (32, 32), "bilinear")
    found = explainer(run, "gradcam").maps(images)
    # with padding, positions share the patch evenly, so that placing is stretching
    np.testing.assert_allclose(found, stretched.squeeze(1).detach().numpy(), atol=1e-6)


def test_integrated_gradients_add_up(run: Run, images: np.ndarray) -> None:
    for baseline in ("mean", "white", "blur"):
        e = explainer(run, "integrated-gradients", baseline=baseline)
        from sentinode.explain.methods import removed

        nothing = removed(images, baseline)
        whole = e.logits(images) - e.logits(nothing)
        np.testing.assert_allclose(e.maps(images).sum((1, 2)), whole, rtol=0.1, atol=2e-3)


def test_occlusion_says_what_is_lost(run: Run, images: np.ndarray) -> None:
    e = explainer(run, "occlusion")
    found = e.maps(images)
    grey = images.copy()
    mean = images.mean((1, 2), keepdims=True).round().astype(np.uint8)
    grey[:, :16, :16] = np.broadcast_to(mean, images.shape)[:, :16, :16]
    lost = e.logits(images) - e.logits(grey)
    # the first 8 px of both sides are under no other square
    np.testing.assert_allclose(found[:, 0, 0], lost, atol=1e-5)
    np.testing.assert_allclose(found[:, 7, 7], lost, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_other_direction(run: Run, images: np.ndarray, method: str) -> None:
    one, other = (explainer(run, method, direction=d).maps(images) for d in ("tumour", "normal"))
    assert one.shape == (6, 32, 32)
    assert np.abs(one).max((1, 2)).min() > 0
    if method in ("gradcam++", "layercam"):  # they take the rising part of the gradient alone
        assert np.abs(one + other).max() > 0.1 * np.abs(one).max()
    else:
        np.testing.assert_allclose(one, -other, atol=1e-4 * np.abs(one).max())


@pytest.fixture(scope="module")
def orbit() -> tuple[Network, ModelSpec]:
    spec = nodenet("tiny-node", (2, 2, 3))
    return new_network(spec, 1).eval(), spec


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "integrated-gradients"])
def test_a_turned_patch_has_a_turned_map(orbit: tuple[Network, ModelSpec], method: str) -> None:
    network, spec = orbit
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    e = Explainer.of(network, spec, COMPUTE, method)  # type: ignore[arg-type]
    plain, turned = e.maps(patch), e.maps(np.rot90(patch, 1, (1, 2)).copy())
    scale = np.abs(plain).max()
    np.testing.assert_allclose(np.rot90(plain, 1, (1, 2)), turned, atol=2e-3 * scale)


def test_fields_by_hand(run: Run, orbit: tuple[Network, ModelSpec]) -> None:
    # 3x3 twice: 5 px; a pooling: 6; 3x3 twice at distance 2: 14
    fields = fields_of(run.load(), run.spec.preprocess, ["layers.relu2", "layers.relu4"])
    assert (fields["layers.relu2"].size, fields["layers.relu2"].jump) == (5, 1)
    assert fields["layers.relu2"].first == 0.5
    assert (fields["layers.relu4"].size, fields["layers.relu4"].jump) == (14, 2)
    assert fields["layers.relu4"].first == 1.0
    network, spec = orbit
    found = fields_of(network, spec.preprocess, ["features.conv_b", "features.conv_c"])
    assert found["features.conv_b"] == Field(20, 20, 4, 10, 96)
    assert found["features.conv_c"] == Field(5, 64, 8, 32, 96)
    assert found["features.conv_c"].covered == pytest.approx(5 * 8 / 96)


def test_fields_match_gradients(run: Run) -> None:
    network = run.load().double()
    inputs = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    inner = network.get_submodule("layers")[:6](inputs)  # type: ignore[index]
    (gradient,) = torch.autograd.grad(inner[0, :, 8, 8].sum(), inputs)
    rows = np.flatnonzero(gradient.abs().sum((0, 1, 3)).numpy())
    name = [n for n, _ in network.get_submodule("layers").named_children()][5]
    field = fields_of(network.float(), run.spec.preprocess, [f"layers.{name}"])[f"layers.{name}"]
    middle = field.centres[8]
    assert middle - field.size / 2 <= rows[0] <= rows[-1] + 1 <= middle + field.size / 2
    assert rows[-1] + 1 - rows[0] >= field.size - 2  # a maximum lies in one of two pixels


def test_layer_of_a_map(run: Run, orbit: tuple[Network, ModelSpec]) -> None:
    assert choose_layer(run.load(), run.spec).name == "layers.relu4"
    chosen = choose_layer(*orbit)
    assert chosen.name == "features.residual_b3.relu"
    assert (chosen.field.positions, chosen.field.size) == (16, 36)
    assert "features.last" in chosen.said
    with pytest.raises(InputError, match=r"did you mean 'layers.relu4'"):
        choose_layer(run.load(), run.spec, "layers.relu44")
    with pytest.raises(InputError, match="gives 8, expected channels×height×width"):
        choose_layer(run.load(), run.spec, "layers.average1")
    with pytest.raises(InputError, match="occlusion looks at the network as a whole"):
        explainer(run, "occlusion", layer="layers.relu4")


def test_a_network_without_convolution() -> None:
    dense = ModelSpec(
        name="dense",
        builder="sentinode.models.sequential:build_sequential",
        args={"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 4}]},
        preprocess=Preprocess(size=32),
        explain_layer="layers.flatten1",
        dense_exact=False,
        licence="Apache-2.0",
    )
    network = new_network(dense, 0)
    with pytest.raises(InputError, match="take --method occlusion or integrated-gradients"):
        Explainer.of(network, dense, COMPUTE, "gradcam")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for method in ("occlusion", "integrated-gradients"):
        assert np.isfinite(Explainer.of(network, dense, COMPUTE, method).maps(images)).all()


def test_gray_networks_are_explained() -> None:
    spec = named("baseline-gray").model_copy(
        update={"preprocess": Preprocess(size=32, channels="gray", mean=(0.0,), std=(1.0,))}
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for method in ("gradcam", "occlusion", "integrated-gradients"):
        maps = Explainer.of(new_network(spec, 0), spec, COMPUTE, method).maps(images)  # type: ignore[arg-type]
        assert maps.shape == (2, 32, 32)


def test_hooks_end_with_their_block(run: Run, images: np.ndarray) -> None:
    e = explainer(run, "layercam")
    e.maps(images)
    assert all(not m._forward_hooks and not m._backward_hooks for m in e.network.modules())


def test_placing_keeps_a_position_where_it_sees() -> None:
    field = Field(5, 64, 8, 32, 96)
    one = torch.zeros(1, 5, 5)
    one[0, 1, 2] = 1.0  # its centre is at 40, 48 px
    placed = place(one, field)[0]
    assert placed[39:41, 47:49].min() > 0.8
    assert placed[:32].max() == placed[48:].max() == 0
    np.testing.assert_allclose(place(torch.ones(1, 5, 5), field), 1.0)
    edge = torch.zeros(1, 5, 5)
    edge[0, 0, 0] = 1.0
    assert (place(edge, field)[0, :32, :32] == 1).all()  # nothing else sees the corner


def test_effective_side_by_hand() -> None:
    gradients = np.zeros((96, 96))
    gradients[32:64, 32:64] = 1.0
    assert effective_side(gradients, 1.0) == pytest.approx(32)
    assert effective_side(gradients, 0.25) == pytest.approx(16)
    assert effective_side(np.ones((96, 96)), 0.25) == pytest.approx(48)
