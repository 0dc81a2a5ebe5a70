"""Plain stacks of layers described by data, with Keras's defaults.

The networks of the two reference notebooks, and others of their kind, are one list of layers
each. Batch normalisation follows the activation, as a Keras model does that gives a convolution
its activation by argument.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from sentinode.core import first_fault
from sentinode.errors import InputError
from sentinode.models.network import Network
from sentinode.types import Preprocess

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAverage",
    "Layer",
    "Pool",
    "Relu",
    "SequentialNetwork",
    "build_sequential",
]

Activation = Literal["relu", "linear"]
Width = Annotated[int, Field(ge=1, le=65_536)]


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Conv(_Layer):
    """A convolution of stride 1; ``same`` pads with zeros, so an odd kernel keeps the size."""

    kind: Literal["conv"] = "conv"
    filters: Width
    kernel: Literal[1, 3, 5, 7, 9, 11] = 3
    padding: Literal["same", "valid"] = "same"
    activation: Activation = "relu"


class BatchNorm(_Layer):
    """Batch normalisation; ``momentum`` as in Keras, the share that the old statistics keep."""

    kind: Literal["norm"] = "norm"
    momentum: float = Field(0.99, gt=0, lt=1)
    epsilon: float = Field(1e-3, gt=0)


class Relu(_Layer):
    """A rectifier that stands by itself, as behind a batch normalisation."""

    kind: Literal["relu"] = "relu"


class Pool(_Layer):
    """The maximum over squares of ``size`` px; what does not fill a square is dropped."""

    kind: Literal["pool"] = "pool"
    size: int = Field(2, ge=2, le=64)


class Dropout(_Layer):
    """Zeroes a share of the values while training."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)


class GlobalAverage(_Layer):
    """The mean of each channel over the whole patch."""

    kind: Literal["average"] = "average"


class Flatten(_Layer):
    """All values of a patch in one row, channel by channel."""

    kind: Literal["flatten"] = "flatten"


class Dense(_Layer):
    """A dense layer; needs values in one row, as ``average`` and ``flatten`` leave them."""

    kind: Literal["dense"] = "dense"
    units: Width
    activation: Activation = "relu"


Layer = Annotated[
    Conv | BatchNorm | Relu | Pool | Dropout | GlobalAverage | Flatten | Dense,
    Field(discriminator="kind"),
]
_LAYERS = TypeAdapter(Annotated[list[Layer], Field(max_length=500)])


@final
class GlobalMean(nn.Module):
    """The mean over height and width: (N, C, H, W) to (N, C)."""

    def forward(self, values: Tensor) -> Tensor:
        """Average each channel."""
        return values.mean((2, 3))


@final
class SequentialNetwork(Network):
    """A stack of layers that ends in one logit.

    Attributes:
        layers: The modules by name: each kind is counted from 1, as in ``conv1``, ``relu1``,
            ``norm1``, ``pool1``, ``dense1``; the last one is ``logit``.
    """

    def __init__(self, modules: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(modules)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the logits, float (N,), of patches (N, C, H, W)."""
        logits: Tensor = self.layers(patches)
        return logits.squeeze(1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot-uniform weights and zero biases (Glorot and Bengio, AISTATS 2010).

        Keras's default. A fresh batch normalisation passes everything through.
        """
        for module in self.layers:
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.reset_parameters()


def build_sequential(preprocess: Preprocess, *, layers: Sequence[Any]) -> SequentialNetwork:
    """Build a stack of layers and one logit on top.

    Args:
        preprocess: Gives the channels and the size of a patch.
        layers: Layers of this module, or mappings such as ``{"kind": "conv", "filters": 32}``.

    Raises:
        InputError: A layer is unknown, does not follow from the one before it, or a pooling
            leaves nothing of the patch.
    """
    try:
        described = _LAYERS.validate_python(
            [x.model_dump() if isinstance(x, BaseModel) else x for x in layers]
        )
    except ValidationError as error:
        raise InputError(first_fault(error, within="layers", got=True)) from error
    stack = _Stack(preprocess)
    for layer in described:
        stack.add(layer)
    stack.add(Dense(units=1, activation="linear"), name="logit")
    return SequentialNetwork(stack.modules)


@final
class _Stack:
    """Modules so far, and the shape they leave: ``side`` is None once values are in one row."""

    def __init__(self, preprocess: Preprocess) -> None:
        self.modules: OrderedDict[str, nn.Module] = OrderedDict()
        self.width = preprocess.n_channels
        self.side: int | None = preprocess.size
        self._counts: Counter[str] = Counter()

    def add(self, layer: Layer, name: str | None = None) -> None:
        """Append a layer and the activation it brings."""
        module = self._module(layer)
        self._name(name or layer.kind, module, counted=name is None)
        if isinstance(layer, Conv | Dense) and layer.activation == "relu":
            self._name("relu", nn.ReLU())

    def _name(self, kind: str, module: nn.Module, counted: bool = True) -> None:
        self._counts[kind] += 1
        self.modules[f"{kind}{self._counts[kind]}" if counted else kind] = module

    def _module(self, layer: Layer) -> nn.Module:
        module: nn.Module
        match layer:
            case Conv():
                same = layer.padding == "same"
                side = self._side(layer) - (0 if same else layer.kernel - 1)
                padding = layer.kernel // 2 if same else 0
                module = nn.Conv2d(self.width, layer.filters, layer.kernel, padding=padding)
                self.width, self.side = layer.filters, _some(side, layer)
            case BatchNorm():
                norm = nn.BatchNorm1d if self.side is None else nn.BatchNorm2d
                module = norm(self.width, eps=layer.epsilon, momentum=1 - layer.momentum)
            case Relu():
                module = nn.ReLU()
            case Pool():
                self.side = _some(self._side(layer) // layer.size, layer)
                module = nn.MaxPool2d(layer.size)
            case Dropout():
                module = nn.Dropout(layer.rate)
            case GlobalAverage():
                self._side(layer)
                module, self.side = GlobalMean(), None
            case Flatten():
                self.width *= self._side(layer) ** 2
                module, self.side = nn.Flatten(), None
            case Dense():
                if self.side is not None:
                    raise InputError(
                        "a dense layer needs values in one row: put average or flatten before it"
                    )
                module = nn.Linear(self.width, layer.units)
                self.width = layer.units
        return module

    def _side(self, layer: Layer) -> int:
        if self.side is None:
            raise InputError(f"{layer.kind} stands after the values were put in one row")
        return self.side


def _some(side: int, layer: Layer) -> int:
    if side < 1:
        raise InputError(f"{layer.kind} leaves nothing of the patch: it is too small")
    return side
