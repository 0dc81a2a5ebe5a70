"""`sentinode compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def compare_command(
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Run folders, folders with runs below them, or names as in nodenet-base.",
        ),
    ] = None,
    packed: Annotated[
        Path | None,
        typer.Option("--packed", help="Packed set that runs without predictions of it predict."),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="Predictions of a run, or of anybody's; may be repeated."
        ),
    ] = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option(help="CSV of scores: name, public, private; or as Kaggle prints it."),
    ] = None,
    maps: Annotated[
        list[Path] | None, typer.Option(help="map_scores.json of what runs look at.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Compare all groups with this one; else all pairs.")
    ] = None,
    margin: Annotated[float, typer.Option(help="Least difference of ROC AUC that matters.")] = 0.01,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Compare runs: tables, paired differences, and which of them are real.

    Runs that differ in their seed only are taken together.
    """
    from sentinode.compare import (
        common_patches,
        compare,
        find_candidates,
        predicted,
        write_comparison,
    )
    from sentinode.tables import PackedSet
    from sentinode.types import RESEARCH_USE_ONLY

    settings = config_of(config, overrides)
    candidates = find_candidates(runs or [], predictions or [], maps or [])
    opened = PackedSet.open(packed) if packed is not None else None
    if opened is not None:
        candidates = predicted(candidates, opened, settings, out / "predictions")
    comparison = compare(
        candidates,
        settings.evaluate,
        packed=opened,
        leaderboard=leaderboard,
        against=against,
        margin=margin,
    )
    page = write_comparison(comparison, out, common_patches(candidates, opened))
    for line in (comparison.headline, *comparison.findings, *comparison.warnings):
        typer.echo(line)
    for each in comparison.differences:
        typer.echo(f"  {each.said}")
    typer.echo(f"comparison: {page}")
    typer.echo(RESEARCH_USE_ONLY)
