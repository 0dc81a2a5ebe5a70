"""What a second look at a patch brings: turned, larger, smaller, moved, paler, darker, restained.

Every run sees every patch of a fold under each view, in one precision. Logits of views are
averaged, with those of the patch as it lies and over several runs.

Run: python benchmarks/views.py SET RUN... --out JSON [--fold test] [--keep PARQUET]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from sentinode.core import Progress, provenance
from sentinode.data.loader import batches
from sentinode.models import choose_compute, resolve_run
from sentinode.predict import forward
from sentinode.predict.orientations import darker, paler
from sentinode.stain import jitter
from sentinode.tables import PackedSet, Split
from sentinode.train.augment import interpolated

View = Callable[[Tensor], Tensor]

BATCH = 64
STAIN, OFFSET = 0.15, 0.04  # a light change, beside those of training


def moved(degrees: float = 0, size: float = 1, shift: tuple[int, int] = (0, 0)) -> View:
    """Return what turns, scales and shifts patches about their centre, bilinearly."""
    cos, sin = size * np.cos(np.deg2rad(degrees)), size * np.sin(np.deg2rad(degrees))

    def view(patches: Tensor) -> Tensor:
        across, down = (2 * pixels / patches.shape[1] for pixels in shift)
        matrix = torch.tensor([[cos, -sin, across], [sin, cos, down]], dtype=torch.float32)
        seen = interpolated(patches.permute(0, 3, 1, 2).float(), matrix.expand(len(patches), 2, 3))
        return seen.round().to(torch.uint8).permute(0, 2, 3, 1)

    return view


def stained(seed: int) -> View:
    """Return what changes each patch's stains a little, drawn anew from batch to batch."""
    rng = np.random.default_rng(seed)
    return lambda patches: jitter(patches, rng, sigma_alpha=STAIN, sigma_beta=OFFSET)


def views() -> dict[str, View]:
    """Return every view by name; its draws begin anew, so that all runs see the same."""
    return {
        "as it lies": lambda patches: patches,
        "45 degrees": moved(45),
        "22.5 degrees": moved(22.5),
        "67.5 degrees": moved(67.5),
        "8 % nearer": moved(size=0.92),
        "8 % farther": moved(size=1.08),
        "2 px right and down": moved(shift=(2, 2)),
        "2 px left and up": moved(shift=(-2, -2)),
        "other stains": stained(0),
        "paler": paler,
        "darker": darker,
        "45 degrees, paler": lambda patches: paler(moved(45)(patches)),
        "45 degrees, darker": lambda patches: darker(moved(45)(patches)),
    }


SHADES = ("as it lies", "paler", "darker")
SIX = (*SHADES, "45 degrees", "45 degrees, paler", "45 degrees, darker")
SHADED = {"paler", "darker", "45 degrees, paler", "45 degrees, darker"}
ANGLES = ("as it lies", "45 degrees", "22.5 degrees", "67.5 degrees")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("runs", nargs="+", help="Run folders, NAME=FOLDER, or shipped names.")
    parser.add_argument("--fold", default="test")
    parser.add_argument("--precision", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--keep", type=Path, help="Parquet for the logits of every view.")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    packed = PackedSet.open(given.set)
    frame = packed.manifest.frame
    split = Split.read(given.set / "split.json")
    folds = split.folds_of(frame["id"])
    rows = np.flatnonzero(packed.manifest.usable & (folds == given.fold).to_numpy(bool))
    labels = frame["label"].iloc[rows].to_numpy(float)
    named = [tuple(name.rpartition("=")[::2]) for name in given.runs]
    runs = {name or place: place for name, place in named}
    if len(runs) < len(named):
        parser.error("two runs have one name; give them as NAME=FOLDER")
    logits = {
        (name, view): seen(place, view, change, packed, rows, given.precision)
        for name, place in runs.items()
        for view, change in views().items()
    }
    result = {
        "set": packed.meta.content_hash,
        "split": split.hash,
        "patches": len(rows),
        "fold": given.fold,
        "precision": given.precision,
        "auc": {name: scored(labels, logits, [name]) for name in runs},
        "auc_of_mean": {
            " + ".join(pair): scored(labels, logits, list(pair))
            for pair in itertools.combinations(runs, 2)
        },
        "weights": {name: resolve_run(place).weights_hash for name, place in runs.items()},
        "provenance": provenance("benchmark views").model_dump(mode="json"),
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["auc"] | result["auc_of_mean"], indent=2))
    if given.keep:
        columns = {f"{name}, {view}": values for (name, view), values in logits.items()}
        kept = pd.DataFrame({"id": frame["id"].iloc[rows].to_numpy(), "label": labels} | columns)
        kept.to_parquet(given.keep, index=False, compression="zstd")


def seen(
    place: str,
    name: str,
    change: View,
    packed: PackedSet,
    rows: np.ndarray,
    precision: Literal["bfloat16", "float32"],
) -> np.ndarray:
    """Return a run's logits, float32 (N,), of patches under one view."""
    run = resolve_run(place)
    compute = choose_compute("cpu", precision, 0)
    network = run.load()
    compute.place(network)
    with Progress(f"{run.spec.name}, {name}", len(rows)) as progress:
        shown = (change(batch) for batch in batches(packed.images, rows, BATCH))
        return forward(network, shown, run.spec.preprocess, compute, progress.advance)


def scored(
    labels: np.ndarray, logits: dict[tuple[str, str], np.ndarray], names: list[str]
) -> dict[str, float]:
    """Return the ROC AUC of each view, of it with the patch as it lies, and of several."""

    def auc(*views: str) -> float:
        total = sum(logits[name, view] for name in names for view in views)
        return round(float(roc_auc_score(labels, total)), 4)

    plain, *others = views()
    return {
        **{view: auc(view) for view in views()},
        **{f"{plain} + {view}": auc(plain, view) for view in others},
        "four angles": auc(*ANGLES),
        "three shades": auc(*SHADES),
        "two angles, three shades": auc(*SIX),
        "all views": auc(*(view for view in views() if view not in SHADED)),
    }


if __name__ == "__main__":
    main()
