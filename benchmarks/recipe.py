"""What each part of nodenet's recipe brings: one change at a time, several seeds, one comparison.

    python benchmarks/recipe.py SET OUT RESULTS [--patches 4000] [--epochs 8] [--seeds 2]
        [--only NAME] [--so-far] [--pretrained RUN]

SET is a packed set with a fold test of other slides. The network is nodenet-small without a
teacher, trained on a part of the patches. OUT keeps the runs; started again after any
interruption it goes on. RESULTS gets the comparison. RUN is of `sentinode pretrain`: one more
change, to start from it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from sentinode.compare import common_patches, compare, find_candidates, write_comparison
from sentinode.config import Config, EvaluateConfig, load_config
from sentinode.data import propose
from sentinode.models import block_network
from sentinode.predict import predict_set
from sentinode.tables import PackedSet
from sentinode.train import train

REFERENCE = "as it is"
CHANGES: dict[str, tuple[str, ...]] = {
    REFERENCE: (),
    "taught by nodenet-base": ('train.teachers=["nodenet-base"]',),
    "without the moving average": ("train.average=0",),
    "without mixing": ("augment.mixup=0",),
    "without stain and light": (
        "augment.stain=0",
        "augment.stain_offset=0",
        "augment.light=0",
    ),
    "without turns and zoom": ("augment.turn=0", "augment.zoom=0"),
    "without label smoothing": ("train.label_smoothing=0",),
    "one-cycle": ("train.schedule=one-cycle", "train.warmup_epochs=0"),
    "Adam, no weight decay": ("train.optimizer=adam", "train.weight_decay=0"),
    "SGD": ("train.optimizer=sgd", "train.learning_rate=0.1", "train.weight_decay=5e-4"),
    "ordinary network of the same cost, all orientations shown": ("augment.orientations=all",),
}
PRETRAINED = "pretrained without labels"
PLAIN = block_network("plain", (14, 28, 56), dropout=0.3)
"""An ordinary network of padded convolutions, of the cost of nodenet-small."""

KEPT = ("compare.json", "compare.md", "runs.csv", "differences.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("packed", "out", "results"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--patches", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", action="append", choices=CHANGES, help="may be repeated")
    parser.add_argument("--pretrained", metavar="RUN", help="what a pretraining left")
    parser.add_argument("--so-far", action="store_true", help="compare what is there, train none")
    given = parser.parse_args()
    packed = PackedSet.open(given.packed)
    names = given.only or list(CHANGES)
    if given.pretrained:
        CHANGES[PRETRAINED] = (f"train.start={given.pretrained}",)
        names.append(PRETRAINED)
    for later in range(0 if given.so_far else given.seeds):
        for name in names:
            config = settings(name, given.patches, given.epochs, later)
            folder = given.out / name / f"seed-{config.train.seed}"
            print(f"{name}, seed {config.train.seed}", flush=True)
            once(packed, config, folder, plain=name.startswith("ordinary"))
    candidates = find_candidates([str(given.out / name) for name in names])
    comparison = compare(candidates, EvaluateConfig(), packed=packed, against=REFERENCE)
    write_comparison(comparison, given.out / "compare", common_patches(candidates, packed))
    given.results.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        (given.results / file).unlink(missing_ok=True)
        if (given.out / "compare" / file).is_file():  # of one training there are no differences
            shutil.copyfile(given.out / "compare" / file, given.results / file)
    print("\n".join((comparison.headline, *comparison.findings, *comparison.warnings)))
    print("\n".join(each.said for each in comparison.differences))


def settings(name: str, patches: int, epochs: int, later: int) -> Config:
    config = load_config(
        Path("nodenet-small"),
        [
            f"split.limit={patches}",
            f"train.epochs={epochs}",
            "train.teachers=[]",
            "predict.precision=bfloat16",
            *CHANGES[name],
        ],
    )
    drawn = config.split.drawn_again(later)
    seeded = config.train.model_copy(update={"seed": config.train.seed + later})
    return config.model_copy(update={"split": drawn, "train": seeded})


def once(packed: PackedSet, config: Config, folder: Path, *, plain: bool) -> None:
    """Train and predict, unless that is done."""
    predictions = folder / "predictions.parquet"
    split = propose(packed, config.split)
    run = train(packed, split, config, folder / "run", spec=PLAIN if plain else None)
    if not predictions.is_file():
        predict_set(run, packed, config, ["valid", "test"], split).write(predictions)


if __name__ == "__main__":
    main()
