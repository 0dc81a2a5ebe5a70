"""How good a network gets with more training patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sentinode.compare.candidates import find_candidates
from sentinode.compare.comparing import compare
from sentinode.compare.once import predict_once
from sentinode.compare.result import Comparison
from sentinode.config import Config
from sentinode.core import folder_lock
from sentinode.data import propose
from sentinode.errors import InputError
from sentinode.tables import PackedSet
from sentinode.train import train

__all__ = ["learning_curve"]


def learning_curve(
    packed: PackedSet,
    config: Config,
    sizes: Sequence[int],
    out: Path,
    *,
    seeds: int = 1,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Train one network on more and more patches, and compare what comes of it.

    Each size and seed has its folder below ``out``; what is finished is kept, what was interrupted
    goes on. All sizes of a seed come before those of the next, and a seed is of the training
    patches drawn as of the training. The folds are the same for all, so that all are scored on
    the whole of fold test.

    Args:
        packed: The set.
        config: Network, training, and how the folds are made.
        sizes: Numbers of training patches, two different ones or more.
        out: Folder of everything that is written.
        seeds: How often each size is trained, with seeds one higher each time.
        say: Called with one line for each training.

    Raises:
        InputError: Fewer than two sizes, a size the set does not have, or no seed.
        TrainingError: As of `train`.
    """
    wanted = sorted(set(sizes))
    if len(wanted) < 2 or wanted[0] < 2 or seeds < 1:
        raise InputError(
            f"a learning curve needs two sizes or more of at least 2 patches and one seed or more, "
            f"got sizes {', '.join(map(str, sizes)) or 'none'} and {seeds} seeds"
        )
    jobs = [(size, later) for later in range(seeds) for size in wanted]
    with folder_lock(out):
        for number, (size, later) in enumerate(jobs, 1):
            one = _sized(config, size, later)
            seed = one.train.seed
            say(f"{number} of {len(jobs)}: {size:,} patches, seed {seed}")
            _train(packed, one, size, out / f"{config.model.name}-{size}" / f"seed-{seed}")
        runs = [str(out / f"{config.model.name}-{size}") for size in wanted]
        return compare(find_candidates(runs), config.evaluate, packed=packed)


def _sized(config: Config, size: int, later: int) -> Config:
    limited = config.split.model_copy(update={"limit": size, "balance": None})
    return config.model_copy(
        update={
            "split": limited.drawn_again(later),
            "train": config.train.model_copy(update={"seed": config.train.seed + later}),
        }
    )


def _train(packed: PackedSet, config: Config, size: int, out: Path) -> None:
    split = propose(packed, config.split)
    found = sum(len(ids) for ids in split.units["train"].values())
    if found < size:
        raise InputError(f"the set has {found:,} patches to train on, asked for {size:,}")
    run = train(packed, split, config, out / "run")
    predict_once(out / "predictions.parquet", run, packed, config, ["valid", "test"], split)
