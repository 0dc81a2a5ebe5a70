"""Sets as PatchCamelyon, the Hugging Face hub and WebDataset store them; labels 0, 1, 0, 1 ..."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builders.sources import picture
from sentinode.config import PackConfig
from sentinode.data import open_source, pack

SIDE = 96


def patches(count: int, seed: int = 0) -> np.ndarray:
    return np.stack([picture(1000 * seed + i, SIDE) for i in range(count)])


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pcam(
    root: Path, split: str = "train", count: int = 6, *, gz: bool = False, seed: int = 0
) -> Path:
    """Write the three files of one split and return that of the patches."""
    root.mkdir(parents=True, exist_ok=True)
    stem = f"camelyonpatch_level_2_split_{split}"
    with h5py.File(root / f"{stem}_x.h5", "w") as file:
        file.create_dataset("x", data=patches(count, seed), chunks=(2, SIDE, SIDE, 3))
    with h5py.File(root / f"{stem}_y.h5", "w") as file:
        labels = np.arange(count, dtype=np.uint8) % 2
        file.create_dataset("y", data=labels.reshape(-1, 1, 1, 1))
    meta = pd.DataFrame(
        {
            "coord_y": 100 + np.arange(count),
            "coord_x": 200 + np.arange(count),
            "tumor_patch": np.arange(count) % 2 == 1,
            "center_tumor_patch": np.arange(count) % 2 == 1,
            "wsi": [f"camelyon16_{split}_{i // 3:03d}" for i in range(count)],
        }
    )
    meta.to_csv(root / f"{stem}_meta.csv")
    if gz:
        for name in ("x", "y"):
            plain = root / f"{stem}_{name}.h5"
            with plain.open("rb") as source, gzip.open(f"{plain}.gz", "wb") as target:
                shutil.copyfileobj(source, target)
            plain.unlink()
        return root / f"{stem}_x.h5.gz"
    return root / f"{stem}_x.h5"


def parquet(path: Path, count: int = 6, *, names: list[str] | None = None, seed: int = 0) -> Path:
    """Write one shard with the hub's note about its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": png(p), "path": f"{i}.png"} for i, p in enumerate(patches(count, seed))]
    table = pa.table(
        {"image": pa.array(images, kind), "label": pa.array([i % 2 for i in range(count)])}
    )
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        note = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": note})
    pq.write_table(table, path, row_group_size=4)
    return path


def tar(path: Path, count: int = 6, *, ending: str = "cls", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for i, patch in enumerate(patches(count, seed)):
            said = (
                str(i % 2)
                if ending == "cls"
                else json.dumps({"label": i % 2, "slide": f"s{i // 2}"})
            )
            for name, content in (
                (f"k{i:03d}.png", png(patch)),
                (f"k{i:03d}.{ending}", said.encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return path


def packed_pixels(root: Path, tmp: Path) -> dict[str, np.ndarray]:
    """Pack a source into ``tmp`` and return each patch by its id: uint8 (H, W, 3)."""
    packed = pack(open_source(root), tmp / "set", PackConfig())
    return dict(zip(packed.manifest.frame["id"], packed.images, strict=True))
