"""`sentinode train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of, split_file


def train_command(
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set with its split.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Same as --set train.seed=N.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Same as --set train.epochs=N.")] = None,
    force: Annotated[bool, typer.Option(help="Start over, whatever run is in --out.")] = False,
) -> None:
    """Train a network; started again after an interruption it goes on where it was."""
    from sentinode.tables import PackedSet, Split

    given = {"train.seed": seed, "train.epochs": epochs}
    short = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = config_of(config, [*(overrides or []), *short])
    images = PackedSet.open(packed)
    split = Split.read(split_file(packed))

    from sentinode.train import train

    run = train(images, split, settings, out, force=force)
    typer.echo(run.facts().said())
    best = run.record.metrics
    typer.echo(
        f"wrote {out}: epoch {run.record.best_epoch} of {len(run.history())} is the best, "
        f"validation loss {best['valid_loss']:.4f}, accuracy {best['valid_accuracy']:.4f}, "
        f"AUC {best['valid_auc']:.4f}; {run.record.timing['train_patches_per_s']:.0f} patches/s "
        f"in {run.record.compute['precision']}, {run.record.timing['seconds']:.0f} s"
    )
