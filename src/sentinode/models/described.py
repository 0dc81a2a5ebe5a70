"""A descriptive name for a network, derived from its spec."""

from __future__ import annotations

from typing import Any

from sentinode.models.spec import ModelSpec
from sentinode.models.summary import summarise

__all__ = ["descriptive_name"]


def descriptive_name(spec: ModelSpec, optimizer: str) -> str:
    """Name a network by what it is made of.

    Input, filters of the convolutions (with ``k5`` where the kernel is not 3×3), units of the
    dense layers with GAP for global average pooling, activation, thousands of parameters and
    optimiser: ``CNN_96x96x3_C32-32-64-64-128-128_FC64-1-GAP_relu_296K_adam``. A network that is
    no plain stack of layers goes by its own name in place of the layers.

    Args:
        spec: The network.
        optimizer: Name of the optimiser.
    """
    summary = summarise(spec)
    channels, height, width = summary.input_shape
    layers: Any = spec.args.get("layers")
    body = _stack(layers) if isinstance(layers, list) else spec.name
    thousands = f"{summary.parameters / 1000:.0f}K"
    return f"CNN_{height}x{width}x{channels}_{body}_{thousands}_{optimizer}"


def _stack(layers: list[dict[str, Any]]) -> str:
    convolutions = [layer for layer in layers if layer["kind"] == "conv"]
    filters = [
        f"{layer['filters']}" + (f"k{layer['kernel']}" if layer["kernel"] != 3 else "")
        for layer in convolutions
    ]
    units = [str(layer["units"]) for layer in layers if layer["kind"] == "dense"]
    pooled = ["GAP"] if any(layer["kind"] == "average" for layer in layers) else []
    activations = {layer["activation"] for layer in layers if "activation" in layer}
    if any(layer["kind"] == "relu" for layer in layers):  # behind a linear layer and its norm
        activations = activations - {"linear"} | {"relu"}
    dense = "-".join([*units, "1", *pooled])
    return f"C{'-'.join(filters)}_FC{dense}_{'-'.join(sorted(activations))}"
