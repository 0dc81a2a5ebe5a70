"""The layers of a network as a map is drawn from them: what they give, and which one to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from sentinode.core import unknown_name
from sentinode.errors import InputError
from sentinode.explain.fields import Field, fields_of
from sentinode.explain.filters import kernels_of
from sentinode.explain.hooks import outputs_of
from sentinode.models import ModelSpec, Network
from sentinode.models.encoders import EncoderNetwork

__all__ = ["COVERED", "Chosen", "choose_layer", "shapes_of"]

COVERED = 0.65
"""Share of a patch's side that the positions of a layer have to span for a useful map. Of the
layers of two nodenet-base trained otherwise, the last that spans as much agrees well with drawn
tumour in both; at 0.7 another is taken, which is the best in one and poor in the other."""


@final
@dataclass(frozen=True)
class Chosen:
    """The layer that a map is drawn from.

    Attributes:
        name: Its dotted name.
        field: Where its positions lie on the patch.
        said: Why it was chosen, for who reads the map.
    """

    name: str
    field: Field
    said: str


def shapes_of(network: Network, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Return what each layer gives for one patch, in the order in which they are computed.

    Layers that only hold others are left out, as are those that give no tensor.
    """
    names = [n for n, m in network.named_modules() if n and not isinstance(m, nn.Sequential)]
    side, channels = spec.preprocess.size, spec.preprocess.n_channels
    device = next(network.parameters()).device
    with torch.no_grad(), outputs_of(network, names) as held:
        network(torch.zeros(1, channels, side, side, device=device))
        return {name: tuple(output.shape[1:]) for name, output in held.items()}


def choose_layer(network: Network, spec: ModelSpec, name: str | None = None) -> Chosen:
    """Settle which layer a map is drawn from.

    The spec's own layer, unless its positions span less than 65 % of the patch, as where a
    network without padding has shrunk the patch to a point: then the last layer that spans it.

    Args:
        network: The network.
        spec: Names the layer to take by default.
        name: A layer to take instead.

    Raises:
        InputError: There is no such layer, or it has no positions on the patch.
    """
    wanted = name or spec.explain_layer
    known = {n for n, _ in network.named_modules() if n}
    if wanted not in known:
        raise InputError(unknown_name("layer", wanted, known))
    shapes = shapes_of(network, spec)
    if len(shapes.get(wanted, ())) != 3 or not kernels_of(network):
        raise InputError(_no_map(spec, wanted, shapes))
    before = [n for n, shape in shapes.items() if len(shape) == 3]
    before = [wanted] if name is not None else before[: before.index(wanted) + 1]
    fields = fields_of(network, spec.preprocess, before)
    field = fields[wanted]
    if name is not None:
        return Chosen(wanted, field, f"layer {wanted}, as asked for")
    last = "the encoder's map" if isinstance(network, EncoderNetwork) else "the last convolution"
    if field.covered >= COVERED:
        return Chosen(wanted, field, f"layer {wanted}, {last}")
    for earlier in reversed(before):
        if fields[earlier].covered >= COVERED:
            return Chosen(
                earlier,
                fields[earlier],
                f"layer {earlier}, the last whose positions span {COVERED:.0%} of the patch; those "
                f"of {last}, {wanted}, do not",
            )
    return Chosen(wanted, field, f"layer {wanted}; no layer before it spans more of the patch")


def _no_map(spec: ModelSpec, name: str, shapes: dict[str, tuple[int, ...]]) -> str:
    given = "×".join(map(str, shapes.get(name, ()))) or "nothing"
    maps = [n for n, shape in shapes.items() if len(shape) == 3 and min(shape[1:]) > 1]
    others = f", or another --layer, as {maps[-1]}" if maps else ""
    return (
        f"{spec.name}: layer {name} gives {given}, expected channels×height×width of a "
        f"convolution; take --method occlusion or integrated-gradients{others}"
    )
