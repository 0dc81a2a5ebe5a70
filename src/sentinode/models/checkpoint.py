"""Weights on disk: `spec.json` beside `model.safetensors`, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sentinode.core import atomic_path, first_fault, hash_file, read_json, write_json
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.models.network import Network
from sentinode.models.spec import ModelSpec, build

__all__ = [
    "SPEC_FILE",
    "WEIGHTS_FILE",
    "load_checkpoint",
    "read_spec",
    "save_checkpoint",
    "state_of",
]

SPEC_FILE = "spec.json"
WEIGHTS_FILE = "model.safetensors"
# One key only: safetensors writes several in an order that changes from run to run.
_SPEC_HASH = "sentinode_spec_sha256"


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's tensors by name, on the CPU and in plain memory order."""
    return {
        name: tensor.detach().to("cpu").contiguous()
        for name, tensor in network.state_dict().items()
    }


def save_checkpoint(folder: Path, spec: ModelSpec, state: dict[str, Tensor]) -> None:
    """Write spec and weights; equal tensors give equal bytes.

    Args:
        folder: Run folder.
        spec: What the weights belong to.
        state: As :func:`state_of` gives it.

    Raises:
        DiskFullError: The disk is full; a file that was there is kept.
    """
    write_json(folder / SPEC_FILE, spec.model_dump(mode="json"))
    data = save(state, metadata={_SPEC_HASH: hash_file(folder / SPEC_FILE)})
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(data)


def read_spec(folder: Path) -> ModelSpec:
    """Read ``spec.json``.

    Raises:
        CheckpointError: It is missing, damaged, or of another version.
    """
    path = folder / SPEC_FILE
    try:
        values = read_json(path)
    except (MissingInputError, InputError) as error:
        raise CheckpointError(f"{folder} holds no model: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != 1:
        raise CheckpointError(f"{path} has format {found!r}, this version of sentinode reads 1")
    try:
        return ModelSpec.model_validate(values)
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {first_fault(error)}") from error


def load_checkpoint(folder: Path) -> tuple[ModelSpec, Network]:
    """Read a network and its weights; the network is in evaluation mode on the CPU.

    The network is built without memory and takes the file's tensors, once each one's name, shape
    and dtype are what the spec asks for.

    Raises:
        CheckpointError: A file is missing, damaged, hostile, or of another model.
    """
    spec = read_spec(folder)
    path = folder / WEIGHTS_FILE
    try:
        network = build(spec, device="meta")
    except InputError as error:
        raise CheckpointError(f"{folder / SPEC_FILE}: {error}") from error
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no weights: {WEIGHTS_FILE} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            _check_origin(file, folder)
            # Copied, so that no tensor stays tied to the file or to its alignment there.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged: expected safetensors, {error}; copy it again or train again"
        ) from error
    _check_forms(state, network.state_dict(), path)
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: tensor {name!r} holds values that are no numbers")
    network.load_state_dict(state, assign=True)
    return spec, network.eval()


def _check_origin(file: Any, folder: Path) -> None:
    stated = (file.metadata() or {}).get(_SPEC_HASH)
    if stated != hash_file(folder / SPEC_FILE):
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} was not written for the {SPEC_FILE} beside it; "
            "take both from the same run"
        )


def _check_forms(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    for name in sorted(expected.keys() | state.keys()):
        wanted, found = _form(expected.get(name)), _form(state.get(name))
        if wanted != found:
            raise CheckpointError(
                f"{path} is of another model: tensor {name!r} expected {wanted}, got {found}"
            )


def _form(tensor: Tensor | None) -> str:
    if tensor is None:
        return "none of that name"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
