"""Files of a training that is under way: tensors, and the JSON that names them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sentinode.core import (
    atomic_path,
    first_line,
    hash_bytes,
    hash_json,
    leftovers,
    read_json,
    write_json,
)
from sentinode.errors import CheckpointError, InputError

__all__ = [
    "STATE_FILE",
    "Pace",
    "StateError",
    "below",
    "damaged",
    "moments",
    "read_state",
    "read_tensors",
    "remove_state",
    "restore_moments",
    "write_state",
]

STATE_FILE = "state.json"
TENSOR_FILES = "epoch-*.safetensors"
SECONDS_BETWEEN_WRITTEN = 300.0
TIMES_AS_LONG = 50.0  # as writing itself took, so that large networks are not written all the time


@final
class StateError(CheckpointError):
    """A training that was cut short cannot go on from what it left."""


@final
class Pace:
    """How often an epoch that takes long is written within, so that little is lost by a kill."""

    def __init__(self) -> None:
        self._written_at, self._pause = time.perf_counter(), SECONDS_BETWEEN_WRITTEN

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.perf_counter() - self._written_at > self._pause

    def wrote(self, start: float) -> None:
        """Take note of what was begun to be written at ``start``, as ``perf_counter`` tells it."""
        self._written_at = time.perf_counter()
        self._pause = max(SECONDS_BETWEEN_WRITTEN, TIMES_AS_LONG * (self._written_at - start))


def write_state(
    folder: Path, name: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Write tensors and what is to be known of them; what was there is replaced at once.

    The tensors are written first under a new name, so that replacing ``state.json`` changes both
    at once.

    Args:
        folder: Where to.
        name: Of the tensors' file, without ``epoch-`` and ending; another one each time.
        tensors: On the CPU, contiguous.
        values: JSON values, with ``made_from``, what the training was made from.

    Raises:
        DiskFullError: The disk is full; what was there is whole.
    """
    data = save(dict(tensors))
    file = f"epoch-{name}.safetensors"
    with atomic_path(folder / file) as temporary:
        temporary.write_bytes(data)
    values = {**values, "tensors": file, "sha256": hash_bytes(data)}
    write_json(folder / STATE_FILE, values | {"check": hash_json(values)})
    for other in folder.glob(TENSOR_FILES):
        if other.name != file:
            other.unlink()


def read_state(folder: Path) -> dict[str, Any]:
    """Read ``state.json``.

    Raises:
        StateError: It is damaged.
    """
    try:
        values = read_json(folder / STATE_FILE)
        whole = isinstance(values, dict) and values.pop("check", None) == hash_json(values)
    except (InputError, ValueError, RecursionError) as error:
        raise damaged(folder, first_line(error)) from error
    if not whole or not isinstance(values.get("made_from"), dict):
        raise damaged(folder, f"{STATE_FILE} was changed")
    checked: dict[str, Any] = values
    return checked


def read_tensors(folder: Path, values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the tensors that ``state.json`` names.

    Raises:
        StateError: They are not there, damaged, or others.
    """
    try:
        data = (folder / str(values.get("tensors"))).read_bytes()
        if hash_bytes(data) != values.get("sha256"):
            raise damaged(folder, "its tensors are not the ones it recorded")
        return load(data)
    except (OSError, SafetensorError) as error:
        raise damaged(folder, str(error)) from error


def remove_state(folder: Path) -> None:
    """Remove what :func:`write_state` wrote, and the folder where nothing else is in it.

    ``state.json`` goes first: without it the rest is nothing to go on from.
    """
    (folder / STATE_FILE).unlink(missing_ok=True)
    for file in (*folder.glob(TENSOR_FILES), *leftovers(folder)):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or holds what others put there
        folder.rmdir()


def damaged(folder: Path, why: str) -> StateError:
    """Return what to say of a folder that cannot be gone on from."""
    return StateError(
        f"what was interrupted in {folder.parent} cannot go on: {why}; start over with --force"
    )


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, by the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's tensors, on the CPU, named ``index.key``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value.detach().to("cpu").contiguous()
        for index, values in state.items()
        for key, value in values.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, stored: Mapping[str, Tensor]) -> None:
    """Give an optimiser what :func:`moments` gave; ValueError where it is of other weights."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    known = {int(name.partition(".")[0]) for name in stored}  # of weights that were ever changed
    if not known <= set(range(len(parameters))) or (parameters and not known):
        raise ValueError("its optimiser is of other weights")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        index, _, key = name.partition(".")
        like = parameters[int(index)]
        # A fused optimiser walks parameter and moments in memory order: it must be the same one.
        if tensor.shape == like.shape:
            tensor = torch.empty_like(like).copy_(tensor)  # noqa: PLW2901
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
