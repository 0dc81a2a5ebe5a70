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
    typer.echo(
        f"wrote {out}: {len(run.members)} networks in one, {summarise(run.spec).flop / 1e9:.2f} "
        f"GFLOP a patch; next: sentinode predict {out} SET --out FILE"
    )
    typer.echo(
        "their calibrations are not carried over: its probabilities are those of the mean logit "
        f"until it has its own, as by: sentinode calibrate {out} FILE"
    )
