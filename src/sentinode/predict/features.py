"""Features of a frozen encoder, computed once and kept beside the set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from sentinode.core import Progress, atomic_path, hash_json, make_folder, need_disk, write_json
from sentinode.data.loader import batches, to_input
from sentinode.errors import InputError
from sentinode.models import Compute, ModelSpec
from sentinode.models.encoders import EncoderNetwork
from sentinode.tables import PackedSet

__all__ = ["cached_features"]

FOLDER = "features"
BATCH = 32
"""Patches at once. A last, smaller batch is filled up: sizes shape the last bits."""
BATCHES_BETWEEN_NOTES = 16
WHAT_IT_IS = ("library", "architecture", "arguments", "weights_sha256")


def cached_features(
    network: EncoderNetwork,
    spec: ModelSpec,
    packed: PackedSet,
    rows: NDArray[np.int64],
    compute: Compute,
) -> NDArray[np.float32]:
    """Return the features of a set's patches, computing those that are not there yet.

    They lie in ``SET/features/KEY.npy``, where the key stands for the encoder, its weights and how
    it is used, the set's pixels, device and precision; ``KEY.done.npy`` says which are there. Cut
    short, it goes on after the last note; two processes wait for each other.

    Args:
        network: On ``compute.device``.
        spec: Of the network.
        packed: The set.
        rows: int64 (M,), the patches wanted.
        compute: Device and precision.

    Returns:
        float32 (N, F), memory-mapped, one row for each patch of the set; those not among ``rows``
        may be zero.

    Raises:
        InputError: The set's folder cannot be written to, or the encoder gives no numbers.
        DiskFullError: There is no room for the features.
    """
    key = _key(spec, packed, compute)
    folder = packed.folder / FOLDER
    make_folder(folder)
    path, done_path = folder / f"{key}.npy", folder / f"{key}.done.npy"
    with FileLock(folder / f"{key}.lock"):
        shape = (len(packed.images), int(str(spec.args["features"])))
        if not done_path.is_file():
            _begin(path, done_path, shape, spec)
        done: NDArray[np.bool_] = np.load(done_path)
        missing = rows[~done[rows]]
        if len(missing):
            _compute(network, spec, packed, np.sort(missing), compute, path, done, done_path)
    features: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return features


def _key(spec: ModelSpec, packed: PackedSet, compute: Compute) -> str:
    origin = spec.args["origin"]
    assert isinstance(origin, dict)
    made_from = {
        "encoder": {name: origin[name] for name in WHAT_IT_IS},
        "pooling": spec.args["pooling"],
        "input_size": spec.args["input_size"],
        "preprocess": spec.preprocess.model_dump(mode="json"),
        "set": packed.meta.content_hash,
        "device": compute.device,
        "precision": compute.precision,
    }
    return hash_json(made_from)[:16]


def _begin(path: Path, done_path: Path, shape: tuple[int, int], spec: ModelSpec) -> None:
    need_disk(path.parent, 4 * shape[0] * shape[1], "keeping the features")
    with atomic_path(path) as temporary:
        # Zeros of a new file take no room on the disk until they are written.
        np.lib.format.open_memmap(temporary, "w+", np.float32, shape).flush()
    write_json(path.with_suffix(".json"), {"spec": spec.model_dump(mode="json")})
    _note(done_path, np.zeros(shape[0], bool))


def _note(path: Path, done: NDArray[np.bool_]) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, done)


def _compute(
    network: EncoderNetwork,
    spec: ModelSpec,
    packed: PackedSet,
    rows: NDArray[np.int64],
    compute: Compute,
    path: Path,
    done: NDArray[np.bool_],
    done_path: Path,
) -> None:
    features = np.load(path, mmap_mode="r+")
    network.eval()
    with (
        torch.inference_mode(),
        compute.autocast(),
        Progress("embed", len(rows)) as progress,
    ):
        for number, batch in enumerate(batches(packed.images, rows, BATCH)):
            own = rows[number * BATCH : number * BATCH + len(batch)]
            full = torch.cat([batch, batch[:1].expand(BATCH - len(batch), -1, -1, -1)])
            made = network.embed(to_input(full.to(compute.device), spec.preprocess))
            values = made[: len(own)].float().cpu().numpy()
            if not np.isfinite(values).all():
                raise InputError(
                    f"{spec.name} gives values that are no numbers, so its weights are damaged, or "
                    "too large for this precision; load them anew, or take train.precision=float32"
                )
            features[own] = values
            done[own] = True
            if (number + 1) % BATCHES_BETWEEN_NOTES == 0 or own[-1] == rows[-1]:
                features.flush()
                _note(done_path, done)
            progress.advance(len(own))
