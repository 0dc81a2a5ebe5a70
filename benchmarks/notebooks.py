"""The first notebook's experiments with three seeds, compared, and kept small enough to commit.

    python benchmarks/notebooks.py SET OUT RESULTS [--scale 0.2] [--epochs 5] [--seeds 3]
        [--set KEY=VALUE]

SET is a packed set with a fold test of other slides. OUT keeps the runs; started again after any
interruption it goes on. RESULTS gets the comparison, the histories of all trainings in one table,
and every probability.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.compare import (
    common_patches,
    compare,
    find_candidates,
    write_comparison,
)
from sentinode.config import EvaluateConfig, changed, load_config, resolved_toml
from sentinode.core import hash_file, hash_json, write_text
from sentinode.data.loader import batches
from sentinode.models import (
    HISTORY_FILE,
    RECORD_FILE,
    Run,
    choose_compute,
    save_checkpoint,
    state_of,
)
from sentinode.pipeline import reproduce
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import CONFIG_FILE, renew_norms
from sentinode.train.scores import score

NAMES = (
    "first-gray",
    "first-gray-kernel-5",
    "first-gray-256",
    "first-gray-no-128",
    "first-gray-no-dense",
    "first-gray-dropout-30",
    "first-colour",
)
# A batch normalisation's moving statistics keep 0.99 of what they were at a step, so that for the
# first few hundred steps the validation loss rises while the network gets better: with so few
# patches, small batches and the last weights are what there is to compare.
SETTINGS = (
    "split.valid_fraction=0.03",
    "split.draw=train",
    "train.batch_size=16",
    "train.keep=last",
    "train.patience=none",
    "predict.precision=bfloat16",
)
KEPT = ("compare.json", "compare.md", "runs.csv", "probabilities.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("packed", "out", "results"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="As of sentinode reproduce.")
    parser.add_argument(
        "--norms",
        type=int,
        default=0,
        help="Measure the statistics of batch normalisation of the finished runs anew, over so "
        "many training patches, and compare these networks instead.",
    )
    parser.add_argument("--so-far", action="store_true", help="compare what is there, train none")
    given = parser.parse_args()
    packed = PackedSet.open(given.packed)
    if not given.so_far:
        reproduce(
            packed,
            given.out,
            scale=given.scale,
            epochs=given.epochs,
            seeds=given.seeds,
            names=NAMES,
            overrides=[*SETTINGS, *given.set],
        )
    finished = sorted(path.parent / "run" for path in given.out.glob("*/seed-*/result.json"))
    if given.norms:
        finished = [
            renewed(run, packed, given.norms, given.out / f"norms-{given.norms}")
            for run in finished
        ]
    candidates = find_candidates([str(run) for run in finished])
    comparison = compare(candidates, EvaluateConfig(), packed=packed, against=NAMES[0])
    out = given.out / (f"norms-{given.norms}" if given.norms else "")
    write_comparison(comparison, out / "compare", common_patches(candidates, packed))
    keep(out, finished, given.results)
    print("\n".join((comparison.headline, *comparison.findings, *comparison.warnings)))
    print("\n".join(each.said for each in comparison.differences))


def renewed(folder: Path, packed: PackedSet, patches: int, out: Path) -> Path:
    """Write a run again with statistics measured anew, and what it predicts, beside each other."""
    run, place = Run.open(folder), out / folder.parent.parent.name / folder.parent.name
    made = place / "run"
    config, split = load_config(folder / "config.toml"), Split.read(folder.parent / "split.json")
    config = changed(config, {"train.norm_patches": patches, "predict.precision": "bfloat16"})
    if (place / "predictions.parquet").is_file() and _is_of(made, run):
        return made
    settings = config.train
    compute = choose_compute(settings.device, settings.precision, settings.threads)
    network = run.load()
    compute.place(network)
    taught = np.flatnonzero(split.folds_of(packed.manifest.frame["id"]).isin(["train"]))
    rows = np.random.default_rng(settings.seed).permutation(taught)[:patches]
    renew_norms(network, batches(packed.images, rows, 64), run.spec.preprocess, compute)

    shutil.rmtree(place, ignore_errors=True)
    made.mkdir(parents=True)
    shutil.copyfile(folder / HISTORY_FILE, made / HISTORY_FILE)  # of the training, as it was
    save_checkpoint(made, run.spec, state_of(network))
    write_text(made / CONFIG_FILE, resolved_toml(config, ["model", "train", "augment"]))
    origin = run.record.provenance
    settings_made = {"config": {**origin.config, "train": settings.fingerprint()}}
    record = run.record.model_copy(
        update={
            "fingerprint": hash_json({**settings_made, "of": run.weights_hash}),
            "stopped": _renewed_of(run),
            "provenance": origin.model_copy(update=settings_made),
            "files": {name: hash_file(made / name) for name in run.record.files},
        }
    )
    record.write(made)
    predictions = predict_set(Run.open(made), packed, config, ["valid", "test"], split)
    frame = predictions.frame.query("fold == 'valid'")
    scores = score(frame["logit"].to_numpy("float32"), frame["label"].to_numpy("float32"))
    judged = {
        "valid_loss": scores.loss,
        "valid_accuracy": scores.accuracy,
        "valid_auc": scores.auc,
    }
    record.model_copy(update={"metrics": {**record.metrics, **judged}}).write(made)
    predictions.write(place / "predictions.parquet")
    return made


def _is_of(made: Path, run: Run) -> bool:
    """Whether a renewed run is of these weights."""
    return (made / RECORD_FILE).is_file() and Run.open(made).record.stopped == _renewed_of(run)


def _renewed_of(run: Run) -> str:
    return f"statistics measured anew of {run.weights_hash}"


def keep(out: Path, runs: list[Path], results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(out / "compare" / name, results / name)
    histories = [
        pd.read_csv(run / "history.csv").assign(
            experiment=run.parent.parent.name, seed=run.parent.name.removeprefix("seed-")
        )
        for run in runs
    ]
    table = pd.concat(histories).set_index(["experiment", "seed", "epoch"])
    table.to_csv(results / "histories.csv", float_format="%.5g", lineterminator="\n")


if __name__ == "__main__":
    main()
