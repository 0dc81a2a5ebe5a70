"""`sentinode train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of, split_file

if TYPE_CHECKING:
    from sentinode.config import Config
    from sentinode.models import Run


def train_command(
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set with its split.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Same as --set train.seed=N.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Train this often, with seeds one higher each time; see the spread."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Same as --set train.epochs=N.")] = None,
    force: Annotated[
        bool,
        typer.Option(help="Start over, whatever run is in --out; what this command began goes on."),
    ] = False,
) -> None:
    """Train a network; started again after an interruption it goes on where it was.

    Started by torchrun or srun, the processes train together.
    """
    from sentinode.tables import PackedSet, Split

    given = {"train.seed": seed, "train.epochs": epochs}
    short = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = config_of(config, [*(overrides or []), *short])
    images = PackedSet.open(packed)
    split = Split.read(split_file(packed))

    from sentinode.train import first_process, train, train_seeds

    if seeds is not None:
        runs = train_seeds(images, split, settings, out, seeds, force=force)
    else:
        runs = (train(images, split, settings, out, force=force),)
    if not first_process():
        return
    for run in runs:
        typer.echo(run.facts().said())
        if advice := _advice(run, settings):
            typer.echo(advice)
        if run.record.behind:
            typer.echo(
                "weights that it started from or learnt from were trained "
                f"{run.record.behind}: how independent its figures are is not known"
            )
        typer.echo(_said(run))
    if seeds is not None:
        _tell_spread(runs)


def _said(run: Run) -> str:
    best = run.record.metrics
    return (
        f"wrote {run.folder}: epoch {run.record.best_epoch} of {len(run.history())} is kept, "
        f"validation loss {best['valid_loss']:.4f}, accuracy {best['valid_accuracy']:.4f}, "
        f"AUC {best['valid_auc']:.4f}; {run.record.timing['train_patches_per_s']:.0f} patches/s "
        f"in {run.record.compute['precision']}, {run.record.timing['seconds']:.0f} s"
    )


def _advice(run: Run, settings: Config) -> str:
    """Say what a validation loss that jumps may come from."""
    from sentinode.train import norms_of

    if not run.facts().spikes or settings.train.norm_patches or not norms_of(run.load()):
        return ""
    return (
        "such spikes often come from batch normalisation, whose moving statistics lag behind the "
        "weights; a new run with --set train.norm_patches=1024 measures them anew before each "
        "validation"
    )


def _tell_spread(runs: Sequence[Run]) -> None:
    from sentinode.train import mean_and_deviation

    typer.echo(f"{len(runs)} seeds, mean and standard deviation on validation patches:")
    for name, column in (
        ("AUC", "valid_auc"),
        ("accuracy", "valid_accuracy"),
        ("loss", "valid_loss"),
    ):
        mean, deviation = mean_and_deviation(runs, column)
        typer.echo(
            f"{name:9}{mean:.4f} ± {deviation:.4f}" if len(runs) > 1 else f"{name:9}{mean:.4f}"
        )
