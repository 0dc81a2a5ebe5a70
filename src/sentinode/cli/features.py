"""`sentinode features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.explain import ExamplesName, PickNames, picks_of
from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of, folds_of


def features_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    patches: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A packed set, a folder of images, or one image."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    examples: ExamplesName = None,
    pick: PickNames = "certain",
    count: Annotated[int, typer.Option(min=1, help="Patches of each --pick.")] = 2,
    folds: Annotated[str | None, typer.Option(help="Folds to pick from, as in test.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Draw the filters of every convolution and the feature maps of every layer."""
    settings, chosen, picks = config_of(config, overrides), folds_of(folds), picks_of(pick)

    from sentinode.explain import draw_inside
    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    drawn = draw_inside(
        resolve_run(run),
        patches,
        settings,
        out,
        picks=picks,
        count=count,
        examples=examples,
        folds=chosen,
    )
    if not drawn.filters:
        typer.echo("the network has no convolution: there are no filters to draw")
    typer.echo(f"{len(drawn.filters)} figures in {out / 'filters'}")
    typer.echo(f"{len(drawn.maps)} figures in {out / 'features'}, a folder for each patch")
    typer.echo(RESEARCH_USE_ONLY)
