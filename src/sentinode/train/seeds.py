"""The same training with several seeds: how much of a figure is luck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from sentinode.config import Config, changed
from sentinode.core import hash_json, read_json, write_json
from sentinode.errors import InputError
from sentinode.models import RECORD_FILE, ModelSpec, Run
from sentinode.tables import PackedSet, Split
from sentinode.train.ranks import first_process
from sentinode.train.teaching import weights_behind
from sentinode.train.training import train
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["SEEDS_FILE", "mean_and_deviation", "train_seeds"]

SEEDS_FILE = "seeds.json"
FORCED_FILE = "seeds.partial.json"
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
        force: Start all over; what the same call began goes on.

    Raises:
        InputError: ``count`` is below 1, or ``out`` is itself a run; else as `train`.
    """
    if count < 1:
        raise InputError(f"the number of seeds is at least 1, got {count}")
    if (out / RECORD_FILE).is_file():
        raise InputError(f"{out} holds a run of one seed; choose another --out for several")
    runs: list[Run] = []
    series = _series(packed, split, config, spec)
    begun = _begun(out / FORCED_FILE, series)  # by this command, and cut short
    for seed in range(config.train.seed, config.train.seed + count):
        seeded = changed(config, {"train.seed": seed})
        folder = out / f"seed-{seed}"
        over = force and folder.name not in begun
        runs.append(train(packed, split, seeded, folder, spec=spec, force=over))
        if force and first_process():
            begun = [*begun, folder.name]
            write_json(out / FORCED_FILE, {"series": series, "done": begun})
    if first_process():
        _write(out / SEEDS_FILE, runs)
        (out / FORCED_FILE).unlink(missing_ok=True)
    return tuple(runs)


def _series(packed: PackedSet, split: Split, config: Config, spec: ModelSpec | None) -> str:
    """Return what stands for all that the seeds' trainings share, but for the number of seeds."""
    return hash_json(
        {
            "config": [
                getattr(config, name).fingerprint() for name in ("model", "train", "augment")
            ],
            "spec": spec and spec.model_dump(mode="json"),
            "weights": weights_behind(config.train),
            "set": [packed.meta.content_hash, packed.manifest.hash, split.hash],
        }
    )


def _begun(path: Path, series: str) -> list[str]:
    """Return the folders that a forced series has finished, none of another series."""
    noted = read_json(path) if path.is_file() else {}
    return list(noted["done"]) if noted.get("series") == series else []


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
