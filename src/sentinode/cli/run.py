"""`sentinode run` and `sentinode demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.pipeline import RunSummary


def run_command(
    source: Annotated[
        Path, typer.Argument(help="Kaggle's layout, class folders, or any other source.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of all that is written.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Train this often, with seeds one higher each time: the report is of their mean, "
            "compare/ has the spread."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Train anew where --out holds a network trained otherwise.")
    ] = False,
) -> None:
    """Do it all: pack, audit, split, train, predict, evaluate, and write a submission.

    Interrupted and started again, it goes on where it was; a stage that is done is kept.
    """
    from sentinode.pipeline import run_pipeline

    settings = config_of(config, overrides)
    _tell(run_pipeline(source, out, settings, typer.echo, seeds=seeds, force=force))


def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder of all that is written.")] = Path(
        "sentinode-demo"
    ),
    overrides: Overrides = None,
) -> None:
    """Do it all on a small synthetic cohort, rendered here; no data and no network needed."""
    from sentinode.pipeline import demo_config, run_demo

    summary = run_demo(out, demo_config(overrides or []), typer.echo)
    _tell(summary)
    typer.echo("the cohort is synthetic: these figures say that all works, nothing about patients")


def _tell(summary: RunSummary) -> None:
    from sentinode.types import RESEARCH_USE_ONLY

    typer.echo("")
    wide = max(12, *(len(name) + 1 for name in summary.stages))
    typer.echo(f"{'stage':{wide}}{'wall time':>11}{'peak memory':>13}")
    for name, record in summary.stages.items():
        memory = f"{record.peak_bytes / 2**20:,.0f} MiB"
        typer.echo(f"{name:{wide}}{record.seconds:9.1f} s{memory:>13}")
    typer.echo("")
    for line in summary.headline:
        typer.echo(line)
    if summary.submission is not None:
        typer.echo(f"submission: {summary.submission}")
    if summary.comparison is not None:
        typer.echo(f"spread over seeds: {summary.comparison}")
    typer.echo(f"report: {summary.report}")
    typer.echo(RESEARCH_USE_ONLY)
