"""`sentinode card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import RUN_HELP


def card_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    out: Annotated[
        list[Path], typer.Option(help="File to write, .md or .html; may be given twice.")
    ],
    report: Annotated[
        Path | None, typer.Option(help="report.json of `sentinode evaluate` of its predictions.")
    ] = None,
    stress: Annotated[Path | None, typer.Option(help="stress.json of a stress test.")] = None,
    maps: Annotated[Path | None, typer.Option(help="map_scores.json of what it looks at.")] = None,
) -> None:
    """Write a run's model card from what was measured; what was not is shown as a gap."""
    from sentinode.card import make_card, write_card
    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    card = make_card(resolve_run(run), report=report, stress=stress, maps=maps)
    for path in out:
        write_card(card, path)
        typer.echo(f"wrote {path}: {card.gaps} gaps")
    typer.echo(RESEARCH_USE_ONLY)
