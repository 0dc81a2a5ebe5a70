"""`sentinode tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of, split_file


def tune_command(
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set with its split.")],
    out: Annotated[Path, typer.Option(help="Folder of the trials and the page.")],
    space: Annotated[
        Path | None,
        typer.Option(help="TOML with the sections of a configuration, ranges in place of values."),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="SECTION.KEY=VALUES",
            help="What to try, as in train.learning_rate=log:1e-4..1e-2, augment.turn=float:0..45, "
            "train.batch_size=int:16..128:16 or train.optimizer=adam,adamw; may be repeated.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials the study shall have in all.")] = 20,
    study: Annotated[
        Path | None,
        typer.Option(
            help="Where the study is stored, .db for SQLite, else a journal; workers share it. "
            "By default a journal in --out."
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Choose keys of the configuration by trials on the validation patches.

    The same command again goes on where it was; given at the same time it adds a worker.
    """
    from sentinode.tables import PackedSet, Split
    from sentinode.types import RESEARCH_USE_ONLY

    settings = config_of(config, overrides)
    images = PackedSet.open(packed)
    split = Split.read(split_file(packed))

    from sentinode.tune import BEST_FILE, PAGE_FILE, parse_space, read_space, tune

    values = (read_space(space) if space is not None else {}) | parse_space(keys or [])
    result = tune(images, split, settings, values, out, trials=trials, study=study, tell=typer.echo)
    if result.best is not None:
        typer.echo(
            f"best of {len(result.trials)}: trial {result.best.number}, validation "
            f"{result.objective} {result.best.value:.4f}"
        )
        typer.echo(f"page: {out / PAGE_FILE}")
        typer.echo(f"train with it: sentinode train {packed} --config {out / BEST_FILE} --out RUN")
    typer.echo(RESEARCH_USE_ONLY)
