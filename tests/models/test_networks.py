import math

import pytest
import torch
from torch import nn

from builders.sets import tiny_spec
from sentinode.errors import InputError
from sentinode.models import (
    ModelSpec,
    block_network,
    build,
    model_names,
    new_network,
    spec,
    summarise,
)
from sentinode.models.sequential import BatchNorm, Conv, Dense, Dropout, Flatten, Pool
from sentinode.types import Preprocess

GRAY = Preprocess(channels="gray", mean=(0.0,), std=(1.0,))


def stack(layers: list[object], preprocess: Preprocess | None = None) -> ModelSpec:
    base = spec("baseline-colour").model_dump()
    preprocess = preprocess or Preprocess()
    return ModelSpec(
        **base
        | {"args": {"layers": layers}, "preprocess": preprocess, "explain_layer": "layers.logit"}
    )


def test_the_colour_baseline_counts_as_keras_counts() -> None:
    summary = summarise(spec("baseline-colour"))
    assert (summary.parameters, summary.trainable, summary.other) == (296_225, 295_777, 448)
    assert sum(layer.trainable for layer in summary.layers) == summary.trainable
    assert sum(layer.other for layer in summary.layers) == summary.other


@pytest.mark.parametrize(
    ("expected", "described"),
    [
        (295_649, {}),
        (557_793, {"last_kernel": 5}),
        (1_190_113, {"blocks": (32, 64, 128, 256)}),
        (69_601, {"blocks": (32, 64)}),
        (287_457, {"head": ()}),
        (295_649, {"dropout": 0.3}),
    ],
)
def test_the_gray_variants_count_as_keras_counts(expected: int, described: dict[str, int]) -> None:
    described_spec = block_network("variant", preprocess=GRAY, **described)  # type: ignore[arg-type]
    assert summarise(described_spec).parameters == expected


@pytest.mark.parametrize(
    ("expected", "filters", "head"), [(8_868_929, (32, 64), (60, 30)), (2_212_925, (32,), (30,))]
)
def test_flattened_stacks_count_as_keras_counts(
    expected: int, filters: tuple[int, ...], head: tuple[int, ...]
) -> None:
    layers = [Conv(filters=f) for f in filters] + [Pool(), Dropout(rate=0.2), BatchNorm()]
    layers += [Flatten()] + [Dense(units=u) for u in head]
    described = stack([layer.model_dump() for layer in layers])
    assert summarise(described).parameters == expected


def test_layers_follow_in_the_notebooks_order() -> None:
    network = build(spec("baseline-colour"), device="meta")
    kinds = [name.rstrip("0123456789") for name, _ in network.layers.named_children()]  # type: ignore[union-attr]
    block = ["conv", "relu", "norm", "conv", "relu", "pool"]
    assert kinds == [*block * 3, "average", "dropout", "dense", "relu", "logit"]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 32, 64, 64, 128, 128]
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convolutions)
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.eps == 1e-3
    assert norm.momentum == pytest.approx(0.01)
    assert next(m for m in network.modules() if isinstance(m, nn.Dropout)).p == 0.5


def test_cost_is_two_operations_for_each_multiply_add() -> None:
    summary = summarise(spec("baseline-colour"))
    sides, channels = (96, 96, 48, 48, 24, 24), (3, 32, 32, 64, 64, 128, 128)
    by_hand = sum(
        2 * 9 * channels[i] * channels[i + 1] * side * side for i, side in enumerate(sides)
    )
    by_hand += 2 * (128 * 64 + 64)
    assert summary.flop == by_hand == 695_419_008
    shapes = {layer.name: layer.shape for layer in summary.layers}
    assert shapes["layers.pool3"] == (128, 12, 12)
    assert shapes["layers.average1"] == (128,)


def test_weights_are_glorot_uniform_and_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = new_network(spec("baseline-colour"), seed=7).state_dict()
    torch.manual_seed(2)
    again = new_network(spec("baseline-colour"), seed=7).state_dict()
    other = new_network(spec("baseline-colour"), seed=8).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.conv1.weight"], other["layers.conv1.weight"])
    weight = first["layers.conv6.weight"]
    limit = math.sqrt(6 / (9 * 128 + 9 * 128))
    assert weight.abs().max() <= limit
    assert weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not first["layers.conv6.bias"].any()
    assert not first["layers.logit.bias"].any()


def test_forward_gives_one_logit_a_patch() -> None:
    network = new_network(tiny_spec(), seed=0).eval()
    patches = torch.rand(5, 3, 16, 16)
    logits = network(patches)
    assert logits.shape == (5,)
    assert torch.allclose(network(patches[2:3]), logits[2:3], atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([{"kind": "conv", "filters": 0}], "greater than or equal to 1"),
        ([{"kind": "convolution"}], "does not match any of the expected tags"),
        ([{"kind": "dense", "units": 3}], "needs values in one row"),
        ([{"kind": "flatten"}, {"kind": "pool"}], "stands after"),
        ([{"kind": "pool", "size": 64}, {"kind": "pool"}], "too small"),
        ([], "needs values in one row"),
    ],
)
def test_a_stack_that_cannot_be_is_named(layers: list[object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(stack(layers), device="meta")


@pytest.mark.parametrize(
    "builder",
    [
        "os:system",
        "sentinode.core.files:write_text",
        "sentinode.models.checkpoint:save_checkpoint",
        "sentinode.models.sequential:build_nothing",
        "sentinode.models.nowhere:build_network",
        "sentinode.models.sequential.torch:build_network",
    ],
)
def test_a_spec_may_name_only_a_builder_of_this_package(builder: str) -> None:
    described = tiny_spec().model_copy(update={"builder": builder})
    with pytest.raises(InputError, match=r"refused|no builder"):
        build(described)


def test_arguments_and_layers_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="unexpected keyword argument 'blocks'"):
        build(tiny_spec().model_copy(update={"args": {"layers": [], "blocks": 3}}))
    with pytest.raises(InputError, match=r"no layer 'layers\.conv9'"):
        build(tiny_spec().model_copy(update={"explain_layer": "layers.conv9"}))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'baseline-colour'"):
        spec("baseline-color")
    assert [spec(name).name for name in model_names()] == list(model_names())


def test_a_spec_survives_json() -> None:
    described = spec("baseline-colour")
    assert ModelSpec.model_validate_json(described.model_dump_json()) == described
