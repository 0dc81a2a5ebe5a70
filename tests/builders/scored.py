"""A packed set whose patches show their own row, its split, predictions and a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.config import EvaluateConfig
from sentinode.core import hash_bytes, hash_file, provenance, write_json
from sentinode.data.statistics import coarse_look
from sentinode.evaluate import evaluate
from sentinode.tables import (
    SET_FORMAT,
    Manifest,
    PackedSet,
    Predictions,
    Report,
    Split,
    write_history,
)

COUNT, SIDE, SLIDES = 400, 64, 20
QUICK = EvaluateConfig(resamples=200, examples=4)


@dataclass(frozen=True)
class Case:
    """What an evaluation is given."""

    packed: PackedSet
    split: Split
    predictions: Predictions
    run: Path


def written_set(folder: Path, **columns: object) -> PackedSet:
    """Write a set of flat patches: red and green spell the row."""
    rows = np.arange(COUNT)
    rng = np.random.default_rng(0)
    images = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    images[..., 0] = (rows % 20 * 12)[:, None, None]
    images[..., 1] = (rows // 20 * 12)[:, None, None]
    frame = pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in rows],
            "label": (rng.random(COUNT) < 0.4).astype(int),
            "slide": [f"s{i % SLIDES:02d}" for i in rows],
            "centre": [f"c{i % 2}" for i in rows],
            "sha256": [hash_bytes(image.tobytes()) for image in images],
            "problem": np.where(rows == 7, "the file is cut short", None),
            "excluded": np.where(np.isin(rows, (19, 39)), "near-white", None),
        }
        | columns
    )
    manifest = Manifest.make(frame, {"stage": "pack"})
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "coarse.npy", np.stack([coarse_look(image) for image in images]))
    manifest.write(folder / "manifest.parquet")
    made = provenance("pack").model_dump(mode="json")
    meta = {"format": SET_FORMAT, "kind": "test", "count": COUNT, "size": SIDE, "mpp": 0.97}
    write_json(folder / "meta.json", meta | {"content_hash": manifest.hash, "provenance": made})
    return PackedSet.open(folder)


def split_by_slide(packed: PackedSet, *, optimistic: str | None = None) -> Split:
    """Twelve slides train, three choose, five are reported."""
    units: dict[str, dict[str, list[str]]] = {"train": {}, "valid": {}, "test": {}}
    table = packed.manifest.frame[packed.manifest.usable]
    for patch, slide in zip(table["id"], table["slide"], strict=True):
        number = int(slide[1:])
        fold = "train" if number < 12 else "valid" if number < 15 else "test"
        units[fold].setdefault(slide, []).append(patch)
    split = Split.model_validate(
        {
            "by": "random" if optimistic else "slide",
            "seed": 1,
            "manifest_hash": packed.manifest.hash,
            "optimistic": optimistic,
            "notes": ("A note of the split.",),
            "units": units,
            "provenance": provenance("split", seeds={"split": 1}),
        }
    )
    split.write(packed.folder / "split.json")
    return split


def predicted(packed: PackedSet, split: Split, note: dict[str, object]) -> Predictions:
    """Predict all but the training patches, right more often than not."""
    table = packed.manifest.frame
    fold = split.folds_of(table["id"])
    rng = np.random.default_rng(4)
    logit = rng.normal(np.where(table["label"] == 1, 1.0, -1.0), 1.2)
    frame = table[["id", "slide", "label"]].assign(fold=fold, logit=logit)
    return Predictions.make(frame[fold.isin(["valid", "test"])], note)


def written_run(folder: Path, split: Split, packed: PackedSet) -> Path:
    """Write a run folder as a training leaves it."""
    folder.mkdir()
    epochs = np.arange(1, 7)
    columns = dict.fromkeys(("learning_rate", "loss", "accuracy", "auc"), 1 / epochs)
    valid = {"valid_loss": [0.9, 0.7, 0.5, 0.6, 0.8, 0.9], "valid_accuracy": 0.5 + epochs / 20}
    frame = pd.DataFrame({"epoch": epochs} | columns | valid | {"valid_auc": [np.nan] + 5 * [0.8]})
    write_history(folder / "history.csv", frame)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.toml").write_text("[train]\nepochs = 6\n")
    write_json(folder / "spec.json", {"name": "tiny", "licence": "Apache-2.0"})
    inputs = {"set": packed.meta.content_hash, "split": split.hash}
    made = provenance("train", inputs=inputs, seeds={"train": 3}).model_dump(mode="json")
    write_json(folder / "run.json", {"provenance": made})
    return folder


def written_case(folder: Path) -> Case:
    """Write all that an evaluation can be given."""
    packed = written_set(folder / "set")
    split = split_by_slide(packed)
    run = written_run(folder / "run", split, packed)
    note: dict[str, object] = {"weights_sha256": hash_file(run / "model.safetensors")}
    return Case(packed, split, predicted(packed, split, note), run)


def frame_of(n: int = 300, *, seed: int = 0, **columns: object) -> pd.DataFrame:
    """Make anybody's table of predictions."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    p = 1 / (1 + np.exp(-rng.normal(np.where(label, 1.0, -1.0), 1.2)))
    return pd.DataFrame(
        {"id": [f"x{i}" for i in range(n)], "label": label, "probability": p} | columns
    )


def report_of(frame: pd.DataFrame, config: EvaluateConfig = QUICK, **given: object) -> Report:
    """Score such a table."""
    return evaluate(Predictions.make(frame, {}), config, **given)  # type: ignore[arg-type]
