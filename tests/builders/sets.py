"""Small packed sets written file by file, and a network small enough to train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.core import hash_bytes, provenance, write_json
from sentinode.data.statistics import coarse_look
from sentinode.models import ModelSpec, block_network
from sentinode.tables import SET_FORMAT, Manifest, PackedSet, Split
from sentinode.types import Fold, Preprocess

SIDE = 16

QUICK = (
    "train.epochs=4",
    "train.batch_size=8",
    "train.learning_rate=0.01",
    "train.precision=float32",
    "train.threads=1",
)


def small_set(
    folder: Path, count: int = 96, *, size: int = SIDE, mpp: float | None = None, seed: int = 0
) -> PackedSet:
    """Write patches whose label shows in the mean of red, with noise; every second is 1.

    Four slides; the last eighth of the patches has no label.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    base = rng.integers(60, 200, (count, size, size, 3))
    base[..., 0] += (label * 30)[:, None, None] + rng.integers(-25, 25, (count, 1, 1))
    images = base.clip(0, 255).astype(np.uint8)
    labelled = np.arange(count) < count - count // 8
    frame = pd.DataFrame(
        {
            "id": [f"p{i:04d}" for i in range(count)],
            "path": [f"{i}.png" for i in range(count)],
            "label": pd.array(np.where(labelled, label, None), dtype="Int8"),
            "slide": [f"s{4 * i // count}" for i in range(count)],
            "x": 7 * np.arange(count),
            "y": 3 * np.arange(count),
            "sha256": [hash_bytes(image.tobytes()) for image in images],
        }
    )
    manifest = Manifest.make(frame, {})
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "coarse.npy", np.stack([coarse_look(image) for image in images]))
    manifest.write(folder / "manifest.parquet")
    write_json(
        folder / "meta.json",
        {
            "format": SET_FORMAT,
            "kind": "test",
            "count": count,
            "size": size,
            "mpp": mpp,
            "content_hash": manifest.hash,
            "provenance": provenance("pack").model_dump(mode="json"),
        },
    )
    return PackedSet.open(folder)


def small_split(packed: PackedSet, *, write: bool = True, seed: int = 0) -> Split:
    """Put three of five patches in train, the others in valid and test, patch by patch."""
    folds: tuple[Fold, ...] = ("train", "train", "valid", "valid", "test", "test", "train", "train")
    units: dict[Fold, dict[str, tuple[str, ...]]] = {
        "train": {},
        "valid": {},
        "test": {},
        "unlabelled": {},
    }
    frame = packed.manifest.frame
    for row, (patch, label) in enumerate(zip(frame["id"], frame["label"], strict=True)):
        fold = "unlabelled" if pd.isna(label) else folds[row % len(folds)]
        units[fold][patch] = (patch,)
    split = Split(
        by="random",
        seed=seed,
        manifest_hash=packed.manifest.hash,
        optimistic="patches of one slide stand in several folds",
        units=units,
        provenance=provenance("split"),
    )
    if write:
        split.write(packed.folder / "split.json")
    return split


def tiny_spec(size: int = SIDE, dropout: float = 0.5) -> ModelSpec:
    """Describe a network of the baseline's kind with few channels."""
    return block_network(
        "tiny", (4, 8), head=(8,), dropout=dropout, preprocess=Preprocess(size=size)
    )
