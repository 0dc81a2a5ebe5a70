"""`sentinode examples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.explain import (
    BaselineName,
    DirectionName,
    ExamplesName,
    LayerName,
    MethodName,
    OpacityValue,
    PercentileValue,
    PickNames,
    ThresholdValue,
    how_of,
    picks_of,
)
from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of, folds_of


def examples_command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN_HELP)],
    patches: Annotated[
        Path, typer.Option("--patches", metavar="INPUT", help="A packed set or a folder of images.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    examples: ExamplesName = None,
    pick: PickNames = "certain,uncertain,wrong,diverse",
    count: Annotated[int, typer.Option(min=1, help="Patches of each --pick.")] = 4,
    method: MethodName = "gradcam",
    layer: LayerName = None,
    direction: DirectionName = "tumour",
    baseline: BaselineName = "mean",
    opacity: OpacityValue = 0.45,
    percentile: PercentileValue = 99.0,
    threshold: ThresholdValue = 0.5,
    folds: Annotated[str | None, typer.Option(help="Folds to pick from, as in test.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Follow the same patches through several runs: probability and map of each, in one table."""
    how = how_of(
        method=method,
        layer=layer,
        direction=direction,
        baseline=baseline,
        opacity=opacity,
        percentile=percentile,
        threshold=threshold,
    )
    settings, chosen = config_of(config, overrides), folds_of(folds)

    from sentinode.explain import EXAMPLES_PAGE, follow
    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    table = follow(
        [resolve_run(run) for run in runs],
        patches,
        settings,
        out,
        how,
        picks=picks_of(pick),
        count=count,
        examples=examples,
        folds=chosen,
    )
    for run, part in table.groupby("run", sort=False):
        wrong = int(part["outcome"].isin(["miss", "false alarm"]).sum())
        typer.echo(f"{run}: {len(part)} patches, {wrong} wrong")
    typer.echo(f"page: {out / EXAMPLES_PAGE}; table: {out / 'examples.csv'}")
    typer.echo(RESEARCH_USE_ONLY)
