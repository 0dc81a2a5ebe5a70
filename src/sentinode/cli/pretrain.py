"""`sentinode pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of, split_file


def pretrain_command(
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set with its split.")],
    out: Annotated[Path, typer.Option(help="Run folder to write, for train.start.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    force: Annotated[
        bool,
        typer.Option(help="Start over, whatever run is in --out; what this command began goes on."),
    ] = False,
) -> None:
    """Teach a nodenet to tell patches apart without any label, for a training to start from.

    Started again after an interruption it goes on where it was.
    """
    from sentinode.tables import PackedSet, Split

    settings = config_of(config, overrides)
    images = PackedSet.open(packed)
    split = Split.read(split_file(packed))

    from sentinode.train import pretrain

    run = pretrain(images, split, settings, out, force=force)
    found, seconds = run.record.metrics["found"], run.record.timing["seconds"]
    typer.echo(
        f"wrote {out}: in the last epoch the other picture of a patch was found for {found:.1%}; "
        f"{run.record.patches['train']:,} patches, {seconds:.0f} s; "
        f"train from it with --set train.start={out}"
    )
