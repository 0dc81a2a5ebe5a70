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
        typer.Option("--by", "--split", help="auto, official, patient, slide, group or random."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation with this many folds.")
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Which of them is reported, from 1.")] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="Report this centre, train on the others.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Train on at most this many patches.")] = None,
    balance: Annotated[
        int | None, typer.Option(help="Train on at most this many patches of each class.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Decide which patches train, which choose, and which are reported."""
    from sentinode.config import changed
    from sentinode.data import SPLIT_FILE, split
    from sentinode.tables import PackedSet

    given = {
        "by": by,
        "folds": folds,
        "fold": fold,
        "leave_out": leave_out,
        "limit": limit,
        "balance": balance,
    }
    short = {f"split.{key}": value for key, value in given.items() if value is not None}
    settings = changed(config_of(config, overrides), short).split
    packed = PackedSet.open(folder)
    made = split(packed, settings)
    frame = packed.manifest.frame
    typer.echo(
        f"{'fold':11}{'units':>9}{'patches':>10}{'tumour':>9}{'normal':>9}{'tumour share':>14}"
    )
    for name, row in made.counts(dict(zip(frame["id"], frame["label"], strict=True))).items():
        known = row["positive"] + row["negative"]
        share = f"{row['positive'] / known:.1%}" if known else ""
        typer.echo(
            f"{name:11}{row['units']:9,}{row['patches']:10,}{row['positive']:9,}"
            f"{row['negative']:9,}{share:>14}"
        )
    typer.echo(f"by {made.by}, seed {made.seed}; a unit is {UNITS[made.by]}")
    if made.optimistic:
        typer.echo(f"figures will be optimistic: {made.optimistic}")
    for note in made.notes:
        typer.echo(note)
    typer.echo(f"wrote {folder / SPLIT_FILE}; next: sentinode train {folder} --out RUN")


UNITS = {
    "patient": "a patient, with all slides",
    "slide": "a slide",
    "official": "a slide where slides are known, else a group of copies",
    "group": "a group of copies of one tissue, most of them a single patch",
    "random": "a patch",
}
