"""Layers and weights of a file that Keras wrote, read with h5py alone.

Two layouts: HDF5 (``.h5``, Keras 2 and 3), which names each layer's arrays in order; and the zip
``.keras`` (Keras 2.12 on, and 3), whose ``model.weights.h5`` numbers them. Nothing in a file is
executed: a layer is a class name, a configuration and arrays.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np
from numpy.typing import NDArray

from sentinode.errors import CheckpointError, InputError, MissingInputError

__all__ = ["KerasLayer", "KerasModel", "read_keras"]

LARGEST_BYTES = 2 * 2**30
CHAINS = ("Sequential", "Functional", "Model")
DAMAGED = (
    *(OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What the readers of JSON, zip and HDF5 raise of bytes that are not as they should be."""


@final
@dataclass(frozen=True)
class KerasLayer:
    """One layer.

    Attributes:
        kind: Class name, as in ``Conv2D``.
        config: Its configuration as Keras stored it.
        arrays: float32, in Keras's order: kernel, bias; gamma, beta, mean, variance.
    """

    kind: str
    config: Mapping[str, Any]
    arrays: tuple[NDArray[np.float32], ...]

    @property
    def name(self) -> str:
        """Name of the layer, for messages."""
        return f"{self.config.get('name', '?')} ({self.kind})"


@final
@dataclass(frozen=True)
class KerasModel:
    """A chain of layers.

    Attributes:
        version: Of the Keras that wrote the file.
        input_shape: Height, width and channels.
        layers: All but the input layer, in order.
    """

    version: str
    input_shape: tuple[int, int, int]
    layers: tuple[KerasLayer, ...]


def read_keras(path: Path) -> KerasModel:
    """Read a whole saved model, ``.h5`` or ``.keras``.

    Raises:
        MissingInputError: There is no such file.
        CheckpointError: It is damaged, or holds weights without a model.
        InputError: The model is no chain of layers on one image.
    """
    if not path.is_file():
        raise MissingInputError(f"no file {path}")
    try:
        if zipfile.is_zipfile(path):
            return _from_zip(path)
        if h5py.is_hdf5(path):
            return _from_hdf5(path)
    except InputError:
        raise
    except DAMAGED as error:
        raise CheckpointError(
            f"{path} is damaged, or no model that Keras saved: {error}"
        ) from error
    raise CheckpointError(f"{path} is no file of Keras: expected HDF5 (.h5) or a zip (.keras)")


def _from_hdf5(path: Path) -> KerasModel:
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise CheckpointError(
                f"{path} holds weights without their model; save it with model.save(...), not "
                "save_weights"
            )
        config = _json(file.attrs["model_config"])
        weights = _own(file, "model_weights", path)
        if weights is None:
            raise CheckpointError(f"{path} holds no weights of its model")
        described = _described(config, path)
        layers = []
        for layer in described:
            name = layer["config"]["name"]
            group = _own(weights, name, path)
            names = [] if group is None else [_text(n) for n in group.attrs["weight_names"]]
            arrays = tuple(_array(group, each, path) for each in names)
            layers.append(KerasLayer(layer["class_name"], layer["config"], arrays))
        version = _text(file.attrs.get("keras_version", "?"))
        return _model(version, layers, config, path)


def _from_zip(path: Path) -> KerasModel:
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "model.weights.h5"):
            if archive.getinfo(name).file_size > LARGEST_BYTES:
                raise CheckpointError(f"{path}: {name} claims more than 2 GiB, refused")
        config = _json(archive.read("config.json"))
        version = str(_json(archive.read("metadata.json")).get("keras_version", "?"))
        stored: AbstractContextManager[Any] = nullcontext(archive.read("model.weights.h5"))
    described = _described(config, path)
    with stored as data, h5py.File(io.BytesIO(data)) as file:
        places = ("layers", "_layer_checkpoint_dependencies")
        weights = next((_own(file, name, path) for name in places if name in file), file)
        groups = _groups(weights, described, path)
        layers = [
            KerasLayer(layer["class_name"], layer["config"], _numbered(group, path))
            for layer, group in zip(described, groups, strict=True)
        ]
    return _model(version, layers, config, path)


def _groups(weights: Any, described: list[dict[str, Any]], path: Path) -> list[Any]:
    """Find each layer's arrays: a class is counted, unless the group says whose it is."""
    by_name = {}
    for key in weights:
        stored = _own(_own(weights, key, path), "vars", path)
        if stored is not None and "name" in stored.attrs:
            by_name[_text(stored.attrs["name"])] = stored
    counts: Counter[str] = Counter()
    found = []
    for layer in described:
        kind = _snake(layer["class_name"])
        key = kind if not counts[kind] else f"{kind}_{counts[kind]}"
        counts[kind] += 1
        counted = _own(weights[key], "vars", path) if key in weights else None
        found.append(by_name.get(layer["config"]["name"], counted))
    return found


def _own(group: h5py.Group, name: str, path: Path) -> Any:
    """Return what a group holds of that name, None where there is nothing; no other file's."""
    outside = isinstance(group.get(name, getlink=True), h5py.ExternalLink)
    found = None if outside else group.get(name)
    if outside or (found is not None and found.file.filename != group.file.filename):
        raise CheckpointError(f"{path}: {name} lies in another file, refused")
    return found


def _numbered(group: Any, path: Path) -> tuple[NDArray[np.float32], ...]:
    if group is None:
        return ()
    return tuple(_array(group, str(i), path) for i in range(len(group)))


def _array(group: Any, name: str, path: Path) -> NDArray[np.float32]:
    data = group[name]
    if not isinstance(data, h5py.Dataset) or data.file.filename != group.file.filename:
        raise CheckpointError(f"{path}: {name} is no array of this file")
    if data.external or data.is_virtual:
        raise CheckpointError(f"{path}: {name} takes its values from another file, refused")
    if not np.issubdtype(data.dtype, np.floating):
        return np.empty(0, np.float32)  # a seed's counter
    if data.size * 4 > LARGEST_BYTES:
        raise CheckpointError(f"{path}: {name} claims {data.shape}, more than 2 GiB, refused")
    array = np.asarray(data[()], np.float32)
    if not np.isfinite(array).all():
        raise CheckpointError(f"{path}: {name} holds values that are no numbers")
    return array


def _described(config: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Return the layers' descriptions in order, the input layer among them."""
    kind = config.get("class_name")
    if kind not in CHAINS:
        raise InputError(f"{path} holds a {kind!r}; expected a Sequential or Functional model")
    inner = config["config"]
    layers = inner["layers"] if isinstance(inner, dict) else inner
    if kind != "Sequential":
        for layer in layers:
            if len(_sources(layer)) != (layer["class_name"] != "InputLayer"):
                raise InputError(
                    f"{path}: layer {layer['config'].get('name')} ({layer['class_name']}) takes "
                    f"{len(_sources(layer))} inputs; only chains of layers can be imported"
                )
        layers = _in_order(layers, path)
    return list(layers)


def _sources(layer: Mapping[str, Any]) -> list[str]:
    """Names of the layers that feed a layer of a Functional model, as Keras 2 or 3 stores them."""
    return re.findall(
        r'"keras_history": \["([^"]+)"|\[\["([^"]+)", \d+, \d+',
        json.dumps(layer["inbound_nodes"], ensure_ascii=False),
    )


def _in_order(layers: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    behind = {next(filter(None, _sources(each)[0])): each for each in layers if _sources(each)}
    chain = [each for each in layers if not _sources(each)]
    if len(chain) != 1 or len(behind) != len(layers) - 1:
        raise InputError(f"{path}: its layers branch; only chains of layers can be imported")
    while chain[-1]["config"]["name"] in behind:
        chain.append(behind[chain[-1]["config"]["name"]])
    if len(chain) != len(layers):
        raise InputError(f"{path}: its layers are not one chain; only such can be imported")
    return chain


def _model(
    version: str, layers: list[KerasLayer], config: Mapping[str, Any], path: Path
) -> KerasModel:
    inner = config["config"]
    first = layers[0].config
    shape = (
        first.get("batch_shape")
        or first.get("batch_input_shape")
        or (inner.get("build_input_shape") if isinstance(inner, dict) else None)
        or (config.get("build_config") or {}).get("input_shape")
    )
    if not shape or len(shape) != 4 or None in shape[1:]:
        raise InputError(f"{path}: its input has shape {shape}; expected height, width, channels")
    kept = tuple(layer for layer in layers if layer.kind != "InputLayer")
    return KerasModel(version, (int(shape[1]), int(shape[2]), int(shape[3])), kept)


def _json(data: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(data)
    return values


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _snake(name: str) -> str:
    """Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, as Keras names a class in a file."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
