"""Run folders with predictions, as trainings leave them, without training anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from builders.sets import tiny_spec
from sentinode.core import hash_bytes, provenance
from sentinode.models import Run, RunRecord
from sentinode.tables import HISTORY_COLUMNS, Predictions, write_history

LABELS = np.arange(400) % 2
EASE = np.random.default_rng(0).normal(0, 1, 400)  # what is hard is hard for all


def written_run(
    folder: Path,
    *,
    seed: int = 42,
    quality: float = 1.5,
    patches: int = 1000,
    slides: int | None = None,
    predict: bool = True,
    **training: object,
) -> Path:
    """Write a run and its predictions of 400 test patches beside it; return its folder.

    Args:
        folder: Of the experiment; the run is below it.
        seed: Of the training.
        quality: How far the logits of the classes are apart.
        patches: That taught it.
        slides: How many slides the patches come from, None where that is not known.
        predict: Whether to write predictions.
        training: Settings of the training.
    """
    spec, run = tiny_spec(), folder / "run"
    run.mkdir(parents=True)
    weights = hash_bytes(f"{folder.parent.name} {folder.name} {seed} {quality} {patches}".encode())
    (run / "spec.json").write_text(spec.model_dump_json())
    epochs = pd.DataFrame([dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": 1}])
    write_history(run / "history.csv", epochs)
    settings = {"batch_size": 32, "learning_rate": 1e-3, "seed": seed, "optimizer": "adam"}
    config = {"model": spec.model_dump(mode="json"), "train": settings | training, "augment": {}}
    RunRecord(
        fingerprint=weights,
        provenance=provenance(
            "train", config=config, inputs={"set": "s", "split": f"{seed}"}, seeds={"train": seed}
        ),
        compute={"device": "cpu", "precision": "float32", "threads": 1},
        best_epoch=1,
        stopped="epochs",
        patches={"train": patches, "valid": 100},
        metrics={"accuracy": 0.8, "valid_accuracy": 0.75, "valid_auc": 0.8, "valid_loss": 0.5},
        files={"model.safetensors": weights},
        timing={
            "epochs": [{"train_s": 10.0, "valid_s": 1.0}],
            "train_patches_per_s": patches / 10,
            "valid_patches_per_s": 100.0,
        },
    ).write(run)
    if predict:
        _predictions(seed, quality, slides, weights).write(folder / "predictions.parquet")
    assert Run.open(run).weights_hash == weights
    return run


def _predictions(seed: int, quality: float, slides: int | None, weights: str) -> Predictions:
    rng = np.random.default_rng(seed)
    logit = (LABELS - 0.5) * quality + EASE + rng.normal(0, 0.4, len(LABELS))
    rows = np.arange(len(LABELS))
    frame = pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in rows],
            "label": LABELS,
            "fold": "test",
            "slide": None if slides is None else [f"s{i % slides}" for i in rows],
            "probability": expit(logit),
        }
    )
    note = {"weights_sha256": weights, "provenance": {"inputs": {"input": "s"}}}
    return Predictions.make(frame, note)


def map_scores(weights: str) -> dict[str, Any]:
    """Return scores of one run's maps as `sentinode score-maps` writes them."""
    row = {"run": "ours", "place": "set", "value": 0.25, "patches": 9, "units": 9}
    gradcam = row | {"method": "gradcam", "low": 0.2, "high": 0.3}
    return {
        "scores": {"logit": "logit", "centre_share": "share in the centre", "iou": "IoU"},
        "rows": [
            row | {"method": "network", "score": "logit"},
            gradcam | {"score": "centre_share"},
            gradcam | {"score": "iou"},
        ],
        "provenance": {"inputs": {"ours": weights}},
    }
