"""`sentinode reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sentinode.cli.options import Overrides


def reproduce_command(
    what: Annotated[
        Literal["notebooks"], typer.Argument(help="What to reproduce.", metavar="notebooks")
    ],
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    out: Annotated[Path, typer.Option(help="Folder of all that is written.")],
    scale: Annotated[
        float, typer.Option(help="Share of the notebooks' training patches, 0 to 1.")
    ] = 1.0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Largest number of epochs; their own where not given.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="How often each is run, with seeds one higher each time.")
    ] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this experiment; may be repeated.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Run the experiments of the two reference notebooks and write their tables.

    Interrupted and started again, it goes on where it was.
    """
    from sentinode.pipeline import reproduce
    from sentinode.tables import PackedSet
    from sentinode.types import RESEARCH_USE_ONLY

    tables = reproduce(
        PackedSet.open(packed),
        out,
        scale=scale,
        epochs=epochs,
        seeds=seeds,
        names=only,
        overrides=overrides or [],
        say=typer.echo,
    )
    for table in tables:
        if table.suffix == ".md":
            typer.echo("")
            typer.echo(table.read_text(encoding="utf-8").rstrip())
    typer.echo("")
    typer.echo(f"tables: {', '.join(str(table) for table in tables)}")
    typer.echo(RESEARCH_USE_ONLY)
