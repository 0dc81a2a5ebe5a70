"""`sentinode explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def explore_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="The page; SET/explore.html by default."),
    ] = None,
    subset: Annotated[
        int | None,
        typer.Option(
            "--subset",
            min=1,
            help="Patches of the random subset whose labels are counted; by default a tenth of "
            "the usable ones, 20,000 at most.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all that is drawn.")] = 42,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Look at a packed set: labels, patches, colour, slides, stain and copies on one page."""
    from sentinode.explore import explore, write_exploration
    from sentinode.tables import PackedSet

    limits = config_of(config, overrides).audit
    packed = PackedSet.open(folder)
    explored = explore(packed, limits, subset=subset, seed=seed)
    page = out if out is not None else folder / "explore.html"
    figures = write_exploration(explored, packed, page)
    for warning in explored.facts.warnings:
        typer.echo(warning)
    typer.echo(f"figures: {figures}")
    typer.echo(f"page: {page}")
