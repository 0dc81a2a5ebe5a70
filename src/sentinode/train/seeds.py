"""The same training with several seeds: how much of a figure is luck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from sentinode.config import Config, changed
from sentinode.core import write_json
from sentinode.errors import InputError
from sentinode.models import RECORD_FILE, ModelSpec, Run
from sentinode.tables import PackedSet, Split
from sentinode.train.ranks import first_process
from sentinode.train.training import train
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["SEEDS_FILE", "mean_and_deviation", "train_seeds"]

SEEDS_FILE = "seeds.json"
FIGURES = ("valid_auc", "valid_accuracy", "valid_loss")


def train_seeds(
    packed: PackedSet,
    split: Split,
    config: Config,
    out: Path,
    count: int,
    *,
    spec: ModelSpec | None = None,
    force: bool = False,
) -> tuple[Run, ...]:
    """Train with ``train.seed`` and the seeds after it, each into a run folder of its own.

    Finished runs are kept and an interrupted one goes on, as `train` does.

    Args:
        packed: The set.
        split: Of this set; the same for all seeds.
        config: As of `train`.
        out: Gets ``seed-42``, ``seed-43`` ... and ``seeds.json`` with the figures of all.
        count: Number of seeds, at least 1.
        spec: As of `train`.
        force: Start all over.

    Raises:
        InputError: ``count`` is below 1, or ``out`` is itself a run; else as `train`.
    """
    if count < 1:
        raise InputError(f"the number of seeds is at least 1, got {count}")
    if (out / RECORD_FILE).is_file():
        raise InputError(f"{out} holds a run of one seed; choose another --out for several")
    runs = []
    for seed in range(config.train.seed, config.train.seed + count):
        seeded = changed(config, {"train.seed": seed})
        folder = out / f"seed-{seed}"
        runs.append(train(packed, split, seeded, folder, spec=spec, force=force))
    if first_process():
        _write(out / SEEDS_FILE, runs)
    return tuple(runs)


def mean_and_deviation(runs: Sequence[Run], figure: str) -> tuple[float, float]:
    """Return mean and sample standard deviation of a figure of the kept epochs.

    Args:
        runs: At least one; of a single one the deviation is NaN.
        figure: Column of the history, as in ``valid_auc``.
    """
    values = [run.record.metrics[figure] for run in runs]
    return fmean(values), stdev(values) if len(values) > 1 else float("nan")


def _write(path: Path, runs: Sequence[Run]) -> None:
    spread = {figure: mean_and_deviation(runs, figure) for figure in FIGURES}
    several = len(runs) > 1
    write_json(
        path,
        {
            "runs": {
                run.folder.name: {name: run.record.metrics[name] for name in FIGURES}
                for run in runs
            },
            "mean": {name: mean for name, (mean, _) in spread.items()},
            "standard_deviation": {
                name: sd if several else None for name, (_, sd) in spread.items()
            },
            "notice": RESEARCH_USE_ONLY,
        },
    )
