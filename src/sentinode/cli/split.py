"""`sentinode split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def split_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    by: Annotated[
        str | None,
        typer.Option("--by", "--split", help="auto, official, slide, group or random."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Decide which patches train, which choose, and which are reported."""
    from sentinode.data import SPLIT_FILE, split
    from sentinode.tables import PackedSet

    chosen = [f"split.by={by}"] if by is not None else []
    settings = config_of(config, [*(overrides or []), *chosen]).split
    packed = PackedSet.open(folder)
    made = split(packed, settings)
    frame = packed.manifest.frame
    typer.echo(f"{'fold':11}{'units':>9}{'patches':>10}{'tumour':>9}{'normal':>9}")
    for fold, row in made.counts(dict(zip(frame["id"], frame["label"], strict=True))).items():
        typer.echo(
            f"{fold:11}{row['units']:9,}{row['patches']:10,}{row['positive']:9,}{row['negative']:9,}"
        )
    typer.echo(f"by {made.by}, seed {made.seed}")
    if made.optimistic:
        typer.echo(f"figures will be optimistic: {made.optimistic}")
    for note in made.notes:
        typer.echo(note)
    typer.echo(f"wrote {folder / SPLIT_FILE}; next: sentinode train {folder} --out RUN")
