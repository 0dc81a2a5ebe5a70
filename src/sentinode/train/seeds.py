"""The same training with several seeds: how much of a figure is luck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from sentinode.config import Config, changed
from sentinode.core import read_json, write_json
from sentinode.errors import InputError, SentinodeError
from sentinode.models import RECORD_FILE, ModelSpec, Run
from sentinode.tables import PackedSet, Split
from sentinode.train.plan import make_plan
from sentinode.train.ranks import first_process
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
    done = _noted(out / FORCED_FILE) if force else {}  # by this command, if it was cut short
    last = config.train.seed + count
    wished = [changed(config, {"train.seed": seed}) for seed in range(config.train.seed, last)]
    for seeded in wished:
        folder = out / f"seed-{seeded.train.seed}"
        over = force
        if force and folder.name in done:
            wanted = make_plan(packed, split, seeded, spec).fingerprint
            over = not wanted == done[folder.name] == _recorded(folder)
        runs.append(train(packed, split, seeded, folder, spec=spec, force=over))
        if force and first_process():
            done[folder.name] = runs[-1].record.fingerprint
            write_json(out / FORCED_FILE, done)
    if first_process():
        _write(out / SEEDS_FILE, runs)
        (out / FORCED_FILE).unlink(missing_ok=True)
    return tuple(runs)


def _noted(path: Path) -> dict[str, str]:
    """Return the fingerprints of the runs that a forced series has finished, by folder."""
    noted = read_json(path) if path.is_file() else {}
    if not isinstance(noted, dict):
        raise InputError(f"{path} was changed; remove it and start again with --force")
    return noted


def _recorded(folder: Path) -> str | None:
    """Return the fingerprint of the run in a folder, None where there is no whole one."""
    try:
        return Run.open(folder).record.fingerprint
    except SentinodeError:
        return None


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
