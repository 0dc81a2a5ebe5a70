"""`sentinode learning-curve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def learning_curve_command(
    packed: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    sizes: Annotated[str, typer.Option(help="Numbers of training patches, as in 500,1000,2000.")],
    out: Annotated[Path, typer.Option(help="Folder of all that is written.")],
    seeds: Annotated[
        int, typer.Option(help="How often each is trained, with seeds one higher each time.")
    ] = 1,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Train a network on more and more patches and compare; it goes on where it was."""
    from sentinode.compare import learning_curve, write_comparison
    from sentinode.tables import PackedSet
    from sentinode.types import RESEARCH_USE_ONLY

    settings, numbers = config_of(config, overrides), _numbers(sizes)
    opened = PackedSet.open(packed)
    comparison = learning_curve(opened, settings, numbers, out, seeds=seeds, say=typer.echo)
    page = write_comparison(comparison, out)
    for point in comparison.curves:
        typer.echo(f"{point.patches:>9,} patches: ROC AUC {point.auc:.3f}, {len(point.runs)} runs")
    typer.echo(f"comparison: {page}")
    typer.echo(RESEARCH_USE_ONLY)


def _numbers(text: str) -> list[int]:
    from sentinode.errors import InputError

    try:
        return [int(part.replace("_", "")) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"sizes are whole numbers as in 500,1000,2000, got {text!r}") from error
