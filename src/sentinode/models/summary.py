"""What a network is made of: layers, output shapes, parameters and cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sentinode.models.spec import ModelSpec, build

__all__ = ["LayerSummary", "ModelSummary", "has_unused_weights", "summarise"]


@final
@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: Dotted name of the module.
        kind: Its class.
        shape: Output for one patch, as in ``(32, 96, 96)``: channels, height, width.
        trainable: Parameters that training changes by gradients.
        other: Values it keeps otherwise, as the moving statistics of a batch normalisation.
        flop: Operations for one patch, two for each multiplication with its addition.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    trainable: int
    other: int
    flop: int


@final
@dataclass(frozen=True)
class ModelSummary:
    """A network's layers and their sums.

    ``parameters`` counts as Keras does: trainable ones and moving statistics. ``flop`` is of one
    forward pass of one patch and counts convolutions and matrix products only, two operations
    for each multiplication with its addition.
    """

    name: str
    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]
    trainable: int
    other: int
    parameters: int
    flop: int


def summarise(spec: ModelSpec) -> ModelSummary:
    """Describe the network of a spec without taking memory for its weights.

    Raises:
        InputError: As of :func:`sentinode.models.build`.
    """
    network = build(spec, device="meta").eval()
    leaves = {name: m for name, m in network.named_modules() if name and not any(m.children())}
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = [module.register_forward_hook(_noting(name, shapes)) for name, module in leaves.items()]
    side, channels = spec.preprocess.size, spec.preprocess.n_channels
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.empty(1, channels, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    by_module = counter.get_flop_counts()
    root = type(network).__name__
    layers = tuple(
        LayerSummary(
            name=name,
            kind=type(module).__name__,
            shape=shapes.get(name, ()),
            trainable=_count(p for p in module.parameters() if p.requires_grad),
            other=_others(module),
            flop=sum(by_module.get(f"{root}.{name}", {}).values()),
        )
        for name, module in leaves.items()
    )
    trainable = _count(p for p in network.parameters() if p.requires_grad)
    other = _others(network)
    return ModelSummary(
        name=spec.name,
        input_shape=(channels, side, side),
        layers=layers,
        trainable=trainable,
        other=other,
        parameters=trainable + other,
        flop=counter.get_total_flops(),
    )


def has_unused_weights(spec: ModelSpec) -> bool:
    """Tell whether some weights that learn have no part in the logits, without taking memory.

    As the token that DINOv2 puts in place of a masked patch, or the classifier of MONAI's DenseNet.

    Raises:
        InputError: As of :func:`sentinode.models.build`.
    """
    network = build(spec, device="meta").train()
    side, channels = spec.preprocess.size, spec.preprocess.n_channels
    network(torch.empty(2, channels, side, side, device="meta")).sum().backward()
    return any(p.requires_grad and p.grad is None for p in network.parameters())


def _noting(name: str, shapes: dict[str, tuple[int, ...]]) -> Any:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[name] = tuple(output.shape[1:])

    return note


def _others(module: nn.Module) -> int:
    # A batch normalisation's count of batches is no parameter: only values that enter the sum.
    frozen = _count(p for p in module.parameters() if not p.requires_grad)
    return frozen + _count(b for b in module.buffers() if b.is_floating_point())


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
