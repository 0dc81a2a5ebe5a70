"""Packed sets of coloured patches, measured as packing measures them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.core import provenance, write_json
from sentinode.data.statistics import measure
from sentinode.tables import SET_FORMAT, Manifest, PackedSet
from sentinode.types import UInt8Array

HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])


def stained(count: int, size: int, seed: int = 0, tilt: float = 0.0) -> UInt8Array:
    """Mix two stains at random, pixel by pixel: uint8 (count, size, size, 3).

    Args:
        count: Patches.
        size: Side in px.
        seed: Of the amounts.
        tilt: Added to the blue of haematoxylin, to make a slide that lies apart.
    """
    rng = np.random.default_rng(seed)
    first = HAEMATOXYLIN + np.array([0, 0, tilt])
    stains = np.stack([first / np.linalg.norm(first), EOSIN / np.linalg.norm(EOSIN)])
    amounts = rng.gamma(1.0, 0.6, (count, size, size, 2))
    amounts[rng.random((count, size, size)) < 0.3, 0] = 0
    return (255 * np.exp(-amounts @ stains)).round().clip(0, 255).astype(np.uint8)


def looked_set(folder: Path, images: UInt8Array, **columns: Any) -> PackedSet:
    """Write images as a packed set; ``columns`` replace those of the manifest."""
    count, size = len(images), images.shape[1]
    numbers, coarse = measure(np.ascontiguousarray(images))
    frame = pd.DataFrame(numbers)
    frame["id"] = [f"p{i:04d}" for i in range(count)]
    frame["path"] = frame["id"] + ".png"
    frame["label"] = pd.array(np.arange(count) % 2, dtype="Int8")
    manifest = Manifest.make(frame.assign(**columns), {})
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "coarse.npy", coarse)
    manifest.write(folder / "manifest.parquet")
    made = provenance("pack").model_dump(mode="json")
    meta = {"format": SET_FORMAT, "kind": "test", "count": count, "size": size, "mpp": 0.97}
    write_json(folder / "meta.json", meta | {"content_hash": "0" * 64, "provenance": made})
    return PackedSet.open(folder)
