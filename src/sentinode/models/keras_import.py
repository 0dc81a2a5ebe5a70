"""From a model that Keras saved to a run of this package."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from sentinode.core import first_fault, folder_lock, hash_file
from sentinode.errors import InputError
from sentinode.models.checkpoint import save_checkpoint
from sentinode.models.keras_file import KerasLayer, KerasModel, read_keras
from sentinode.models.run import CONFIG_FILE, RECORD_FILE, Run, forget_run, record_weights
from sentinode.models.sequential import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    Layer,
    Pool,
    Relu,
)
from sentinode.models.spec import ModelSpec, build
from sentinode.types import Preprocess

__all__ = ["import_keras"]

Pixels = Literal["auto", "0-1", "0-255"]
SCALED_DOWN = 0.1
"""A Rescaling below this is taken to bring 0..255 down."""

LONGEST_STEM = 100
ENDS = ("linear", "sigmoid", "softmax")


def import_keras(
    path: Path, out: Path, *, pixels: Pixels = "auto", mpp: float = 0.97, force: bool = False
) -> Run:
    """Make a run of a model that Keras saved.

    Chains of Conv2D, BatchNormalization, ReLU, MaxPooling2D, Dropout, GlobalAveragePooling2D,
    Flatten, Dense and Rescaling that end in one logit, one sigmoid, or a softmax over normal and
    tumour in this order. In float32 the probabilities are Keras's but for rounding.

    Args:
        path: ``.h5`` or ``.keras``.
        out: Run folder to write.
        pixels: Range of the pixels that the model was trained on; a Rescaling layer counts from
            there. ``auto`` is 0 to 255 where a Rescaling brings values down more than tenfold,
            else 0 to 1.
        mpp: Scale it was trained at in µm/px.
        force: Replace the run that is in ``out``.

    Raises:
        InputError: A layer has no counterpart; the message names it. Or ``out`` holds a run.
        CheckpointError: The file is damaged.
    """
    model = read_keras(path)
    translation = _Translation(model, path, pixels, mpp)
    for layer in model.layers:
        translation.add(layer)
    spec, state = translation.finish()
    with folder_lock(out):
        if (out / RECORD_FILE).is_file() and not force:
            raise InputError(f"{out} holds a run; choose another --out, or replace it with --force")
        if (out / RECORD_FILE).is_file():
            forget_run(out)
            (out / CONFIG_FILE).unlink(missing_ok=True)  # of a training, which this is not
        save_checkpoint(out, spec, state)
        config = {"model": spec.model_dump(mode="json"), "keras": model.version}
        inputs = {"keras": hash_file(path)}
        return record_weights(out, "import-keras", "imported", config, inputs)


@final
class _Translation:
    """Layers and tensors so far; ``rows`` is the shape that a Flatten put in one row."""

    def __init__(self, model: KerasModel, path: Path, pixels: Pixels, mpp: float) -> None:
        height, width, channels = model.input_shape
        if height != width or channels not in (1, 3):
            raise InputError(
                f"{path} takes images of {height}×{width}×{channels}; expected square ones of 1 or "
                "3 channels"
            )
        if not 0 < mpp < float("inf"):
            raise InputError(f"mpp is a size in µm above 0, got {mpp}")
        self.path, self.mpp, self.size, self.channels = path, mpp, height, channels
        # input = (uint8 / 255 - mean) / std = uint8 * scale + offset
        if pixels == "auto":
            pixels = "0-255" if _brings_down(model.layers) else "0-1"
        self.scale, self.offset = (1 / 255 if pixels == "0-1" else 1.0), 0.0
        self.layers: list[Layer] = []
        self.arrays: list[tuple[Layer, tuple[NDArray[np.float32], ...]]] = []
        self.side, self.width = height, channels
        self.rows: tuple[int, int, int] | None = None
        self.logit: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self.two = self.ended = False

    def add(self, layer: KerasLayer) -> None:
        """Append what stands for a layer."""
        kind = layer.kind
        known: Mapping[str, Callable[[KerasLayer], None]] = {
            "Conv2D": self._conv,
            "BatchNormalization": self._norm,
            "MaxPooling2D": self._pool,
            "Dropout": self._dropout,
            "SpatialDropout2D": self._dropout,
            "GlobalAveragePooling2D": self._average,
            "Flatten": self._flatten,
            "Dense": self._dense,
            "Activation": self._activation,
            "ReLU": self._relu,
            "Rescaling": self._rescaling,
        }
        if kind not in known:
            raise self._refused(layer, f"only {', '.join(known)} can be imported")
        if self.ended or (self.logit is not None and kind != "Activation"):
            raise self._refused(layer, "it stands behind the output")
        try:
            known[kind](layer)
        except ValidationError as error:
            raise self._refused(layer, first_fault(error, got=True)) from error
        except KeyError as error:
            raise self._refused(layer, f"its configuration has no {error}") from error

    def finish(self) -> tuple[ModelSpec, dict[str, Tensor]]:
        """Return the spec and its tensors."""
        if self.logit is None:
            raise InputError(f"{self.path}: it does not end in a dense layer of 1 or 2 units")
        convolutions = [i for i, layer in enumerate(self.layers) if isinstance(layer, Conv)]
        if not convolutions:
            raise InputError(f"{self.path}: it has no convolution")
        std = 1 / (255 * self.scale)
        gray = self.channels == 1
        try:
            preprocess = Preprocess(
                size=self.size,
                mpp=self.mpp,
                channels="gray" if gray else "rgb",
                mean=(-self.offset * std,) * self.channels,
                std=(std,) * self.channels,
            )
        except ValidationError as error:
            raise InputError(f"{self.path}: {first_fault(error, got=True)}") from error
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.path.stem)[:LONGEST_STEM].strip("-.")
        spec = ModelSpec(
            name=f"keras-{stem or 'model'}",
            builder="sentinode.models.sequential:build_sequential",
            args={"layers": [layer.model_dump(mode="json") for layer in self.layers]},
            preprocess=preprocess,
            explain_layer=self._explained(convolutions[-1]),
            dense_exact=False,
            licence="LicenseRef-imported",
        )
        return spec, self._state(spec)

    def _state(self, spec: ModelSpec) -> dict[str, Tensor]:
        assert self.logit is not None
        network = build(spec, device="meta")
        state: dict[str, Tensor] = {}
        counts = {"conv": 0, "norm": 0, "dense": 0}
        for layer, arrays in self.arrays:
            counts[layer.kind] += 1
            place = f"layers.{layer.kind}{counts[layer.kind]}"
            names = ["weight", "bias", "running_mean", "running_var"][: len(arrays)]
            state |= {f"{place}.{n}": _tensor(a) for n, a in zip(names, arrays, strict=True)}
            if layer.kind == "norm":
                state[f"{place}.num_batches_tracked"] = torch.tensor(0)
        state |= {
            f"layers.logit.{name}": _tensor(array)
            for name, array in zip(("weight", "bias"), self.logit, strict=True)
        }
        for name, wanted in network.state_dict().items():
            if tuple(state[name].shape) != tuple(wanted.shape):
                raise InputError(
                    f"{self.path}: {name} has shape {tuple(state[name].shape)}, its layers ask for "
                    f"{tuple(wanted.shape)}"
                )
        return state

    def _explained(self, last: int) -> str:
        """Name the last convolution, with the activation right behind it."""
        before = self.layers[: last + 1]
        number = sum(isinstance(x, Conv) for x in before)
        layer = before[-1]
        if isinstance(layer, Conv) and layer.activation == "relu":
            relus = sum(
                isinstance(x, Relu) or getattr(x, "activation", None) == "relu" for x in before
            )
            return f"layers.relu{relus}"
        return f"layers.conv{number}"

    def _conv(self, layer: KerasLayer) -> None:
        config = layer.config
        kernel = tuple(config["kernel_size"])
        self._same(layer, "strides", [1, 1])
        self._same(layer, "dilation_rate", [1, 1])
        self._same(layer, "groups", 1)
        self._in_an_image(layer)
        if len(set(kernel)) != 1 or kernel[0] not in (1, 3, 5, 7, 9, 11):
            raise self._refused(layer, f"kernel_size is {kernel}, expected a square, odd, up to 11")
        made = Conv(
            filters=config["filters"],
            kernel=kernel[0],
            padding=config["padding"],
            activation=self._relu_or_linear(layer),
        )
        weight, bias = self._weights(layer, (*kernel, self.width, config["filters"]))
        self._append(made, (weight.transpose(3, 2, 0, 1), bias))
        self.width = config["filters"]
        self.side -= 0 if config["padding"] == "same" else kernel[0] - 1

    def _norm(self, layer: KerasLayer) -> None:
        config = layer.config
        axis = np.atleast_1d(config["axis"]).tolist()
        if axis not in ([-1], [3] if self.rows is None else [1]):
            raise self._refused(layer, f"axis is {config['axis']}, expected the last one")
        arrays = list(layer.arrays)
        ones, zeros = np.ones(self.width, np.float32), np.zeros(self.width, np.float32)
        gamma = arrays.pop(0) if config.get("scale", True) and arrays else ones
        beta = arrays.pop(0) if config.get("center", True) and arrays else zeros
        if [a.shape for a in (gamma, beta, *arrays)] != [(self.width,)] * 4:
            shapes = [a.shape for a in layer.arrays]
            raise self._refused(layer, f"its arrays have shapes {shapes}, width is {self.width}")
        ordered = tuple(array[self._order()] for array in (gamma, beta, *arrays))
        self._append(BatchNorm(momentum=config["momentum"], epsilon=config["epsilon"]), ordered)

    def _pool(self, layer: KerasLayer) -> None:
        self._in_an_image(layer)
        size, strides = layer.config["pool_size"], layer.config.get("strides")
        if len(set(size)) != 1 or (strides is not None and list(strides) != list(size)):
            raise self._refused(layer, f"pool_size {size} with strides {strides}, expected squares")
        if layer.config["padding"] == "same" and self.side % size[0]:
            raise self._refused(layer, f"padding same of {self.side} px by {size[0]}")
        self.layers.append(Pool(size=size[0]))
        self.side //= size[0]

    def _dropout(self, layer: KerasLayer) -> None:
        self.layers.append(Dropout(rate=layer.config["rate"]))

    def _average(self, layer: KerasLayer) -> None:
        self._in_an_image(layer)
        self._same(layer, "keepdims", False)
        self.layers.append(GlobalAverage())
        self.rows = (1, 1, self.width)

    def _flatten(self, layer: KerasLayer) -> None:
        self._same(layer, "data_format", "channels_last")
        if self.rows is not None:
            return
        self.layers.append(Flatten())
        self.rows = (self.side, self.side, self.width)
        self.width *= self.side**2

    def _dense(self, layer: KerasLayer) -> None:
        if self.rows is None:
            raise self._refused(layer, "it stands on an image; put a Flatten before it")
        units, activation = layer.config["units"], layer.config["activation"]
        weight, bias = self._weights(layer, (self.width, units))
        weight = weight[self._order()].T
        ends = units == 1 or (units == 2 and activation in ("softmax", "linear"))
        if ends and activation in ENDS:
            if activation == "softmax" and units == 1:
                raise self._refused(layer, "a softmax over one unit is always 1")
            if units == 2:  # of softmax(a, b), b's share is the sigmoid of b - a
                weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
            self.logit = (weight, bias)
            self.two, self.ended = units == 2, activation != "linear"
            return
        made = Dense(units=units, activation=self._relu_or_linear(layer))
        self._append(made, (weight, bias))
        self.width, self.rows = units, (1, 1, units)

    def _activation(self, layer: KerasLayer) -> None:
        name = layer.config["activation"]
        if self.logit is not None:
            expected = "softmax" if self.two else "sigmoid"
            if name != expected:
                raise self._refused(layer, f"the output's activation is {name}, not {expected}")
            self.ended = True
        elif name == "relu":
            self.layers.append(Relu())
        elif name != "linear":
            raise self._refused(layer, f"activation {name!r}, expected relu or linear")

    def _relu(self, layer: KerasLayer) -> None:
        config = layer.config
        if (
            config.get("max_value") is not None
            or config.get("negative_slope")
            or config.get("threshold")
        ):
            raise self._refused(layer, "only a plain ReLU can be imported")
        self.layers.append(Relu())

    def _rescaling(self, layer: KerasLayer) -> None:
        if self.layers:
            raise self._refused(layer, "it does not come first")
        scale, offset = layer.config["scale"], layer.config.get("offset", 0.0)
        if not all(isinstance(v, int | float) for v in (scale, offset)) or scale <= 0:
            raise self._refused(layer, f"scale {scale} and offset {offset}, expected two numbers")
        self.scale, self.offset = self.scale * scale, self.offset * scale + offset

    def _order(self) -> NDArray[np.int64]:
        """Where each of our values stands among Keras's: it flattens channels last."""
        if self.rows is None:
            return np.arange(self.width)
        return np.arange(self.width).reshape(self.rows).transpose(2, 0, 1).ravel()

    def _append(self, layer: Layer, arrays: tuple[NDArray[np.float32], ...]) -> None:
        self.layers.append(layer)
        self.arrays.append((layer, arrays))

    def _weights(
        self, layer: KerasLayer, shape: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        expected = [shape, shape[-1:]] if layer.config.get("use_bias", True) else [shape]
        if [array.shape for array in layer.arrays] != expected:
            found = [array.shape for array in layer.arrays]
            raise self._refused(layer, f"its arrays have shapes {found}, expected {expected}")
        bias = layer.arrays[1] if len(layer.arrays) > 1 else np.zeros(shape[-1], np.float32)
        return layer.arrays[0], bias

    def _relu_or_linear(self, layer: KerasLayer) -> Activation:
        name = layer.config["activation"]
        if name == "relu":
            return "relu"
        if name == "linear":
            return "linear"
        raise self._refused(layer, f"activation {name!r}, expected relu or linear")

    def _same(self, layer: KerasLayer, key: str, expected: Any) -> None:
        found = layer.config.get(key, expected)
        if (list(found) if isinstance(found, tuple) else found) != expected:
            raise self._refused(layer, f"{key} is {found}, expected {expected}")

    def _in_an_image(self, layer: KerasLayer) -> None:
        self._same(layer, "data_format", "channels_last")
        if self.rows is not None:
            raise self._refused(layer, "it stands behind a Flatten")

    def _refused(self, layer: KerasLayer, why: str) -> InputError:
        return InputError(f"{self.path}: layer {layer.name} cannot be imported: {why}")


def _brings_down(layers: tuple[KerasLayer, ...]) -> bool:
    scales = [layer.config.get("scale") for layer in layers if layer.kind == "Rescaling"]
    return any(isinstance(scale, int | float) and abs(scale) < SCALED_DOWN for scale in scales)


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
