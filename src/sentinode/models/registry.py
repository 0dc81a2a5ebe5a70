"""The networks known by name."""

from __future__ import annotations

from collections.abc import Sequence

from sentinode.config import ModelConfig
from sentinode.core import unknown_name
from sentinode.errors import InputError
from sentinode.models.encoders import encoder_spec
from sentinode.models.nodenet import nodenet
from sentinode.models.sequential import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    Layer,
    Pool,
)
from sentinode.models.spec import ModelSpec
from sentinode.types import Preprocess

__all__ = ["ENCODER", "block_network", "flat_network", "model_names", "spec", "spec_for"]


def block_network(
    name: str,
    blocks: Sequence[int] = (32, 64, 128),
    *,
    last_kernel: int = 3,
    head: Sequence[int] = (64,),
    dropout: float = 0.5,
    preprocess: Preprocess | None = None,
) -> ModelSpec:
    """Describe a network of the first reference notebook's kind.

    Blocks of two same-padded 3×3 convolutions with ReLU, a batch normalisation between them and
    a pooling after them; then the mean over the patch, dropout, dense layers and one logit.

    Args:
        name: Name of the spec.
        blocks: Filters of each block's two convolutions.
        last_kernel: Kernel of the very last convolution in px, odd.
        head: Units of each dense layer before the logit.
        dropout: Share of the averaged channels that is zeroed while training.
        preprocess: Defaults to 96×96 px colour, scaled to 0..1.
    """
    layers: list[Layer] = []
    for number, filters in enumerate(blocks, 1):
        kernel = last_kernel if number == len(blocks) else 3
        layers += [Conv(filters=filters), BatchNorm(), Conv(filters=filters, kernel=kernel), Pool()]
    layers += [GlobalAverage(), Dropout(rate=dropout)]
    layers += [Dense(units=units) for units in head]
    return _stacked(name, layers, f"layers.relu{2 * len(blocks)}", preprocess)


def flat_network(
    name: str,
    filters: Sequence[int],
    head: Sequence[int],
    *,
    dropout: float = 0.2,
    preprocess: Preprocess | None = None,
) -> ModelSpec:
    """Describe a network of the second reference notebook's kind.

    Same-padded 3×3 convolutions with ReLU, one pooling, dropout, batch normalisation; then all
    values in one row, dense layers and one logit.

    Args:
        name: Name of the spec.
        filters: Of each convolution.
        head: Units of each dense layer before the logit.
        dropout: Share of the pooled values that is zeroed while training.
        preprocess: Defaults to 96×96 px colour, scaled to 0..1.
    """
    layers: list[Layer] = [Conv(filters=n) for n in filters]
    layers += [Pool(), Dropout(rate=dropout), BatchNorm(), Flatten()]
    layers += [Dense(units=units) for units in head]
    return _stacked(name, layers, f"layers.relu{len(filters)}", preprocess)


def _stacked(
    name: str, layers: Sequence[Layer], explain_layer: str, preprocess: Preprocess | None
) -> ModelSpec:
    return ModelSpec(
        name=name,
        builder="sentinode.models.sequential:build_sequential",
        args={"layers": [layer.model_dump(mode="json") for layer in layers]},
        preprocess=preprocess or Preprocess(),
        explain_layer=explain_layer,
        dense_exact=False,
        licence="Apache-2.0",
    )


ENCODER = "encoder"
"""The name under which a configuration takes a pretrained encoder."""

_GRAY = Preprocess(channels="gray", mean=(0.0,), std=(1.0,))

_SPECS = {
    each.name: each
    for each in (
        block_network("baseline-colour"),
        block_network("baseline-gray", preprocess=_GRAY),
        block_network("gray-kernel-5", last_kernel=5, preprocess=_GRAY),
        block_network("gray-256", (32, 64, 128, 256), preprocess=_GRAY),
        block_network("gray-no-128", (32, 64), preprocess=_GRAY),
        block_network("gray-no-dense", head=(), preprocess=_GRAY),
        block_network("gray-dropout-30", dropout=0.3, preprocess=_GRAY),
        flat_network("flat-32-64", (32, 64), (60, 30)),
        flat_network("flat-32", (32,), (30,)),
        nodenet("nodenet-small", (3, 7, 24)),
        nodenet("nodenet-base", (6, 12, 24)),
        nodenet("nodenet-half", (5, 9, 24)),
        nodenet("nodenet-large", (6, 12, 24), beside=[(5, 9, 24)]),
    )
}


def model_names() -> tuple[str, ...]:
    """Return the names that :func:`spec` knows."""
    return tuple(sorted(_SPECS))


def spec(name: str) -> ModelSpec:
    """Return the network of a name.

    Raises:
        InputError: There is no such network; the message names the nearest.
    """
    if name not in _SPECS:
        raise InputError(unknown_name("model", name, _SPECS))
    return _SPECS[name]


def spec_for(settings: ModelConfig) -> ModelSpec:
    """Return the network that a configuration asks for.

    Raises:
        InputError: There is no such network, or an encoder's settings do not fit together.
        MissingInputError: The encoder is not on this machine.
        MissingExtraError: Its library is not installed.
    """
    return encoder_spec(settings) if settings.name == ENCODER else spec(settings.name)
