"""`sentinode join`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def join_command(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs of nodenets, or names of shipped ones; two at least."),
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    name: Annotated[str, typer.Option(help="Name of the network made.")] = "nodenet-joined",
    force: Annotated[bool, typer.Option(help="Replace the run in --out.")] = False,
) -> None:
    """Make one network of several, whose logit is the mean of theirs."""
    from sentinode.models import join_runs, resolve_run, summarise

    run = join_runs([resolve_run(each) for each in runs], out, name=name, force=force)
    gflop = summarise(run.spec).flop / 1e9
    typer.echo(
        f"wrote {out}: {len(runs)} networks in one, {gflop:.2f} GFLOP a patch; its probabilities "
        f"are not calibrated, next: sentinode predict {out} SET --out FILE"
    )
