"""`sentinode ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ensemble_command(
    predictions: Annotated[
        list[Path], typer.Argument(help="Predictions of the same patches, .parquet or .csv.")
    ],
    out: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")],
) -> None:
    """Take the mean of what several runs predicted, each counting the same."""
    from sentinode.errors import InputError
    from sentinode.predict import ensemble
    from sentinode.tables import Predictions
    from sentinode.types import RESEARCH_USE_ONLY

    twice = next((p for i, p in enumerate(predictions) if p in predictions[:i]), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice; each run counts once")
    made = ensemble({str(path): Predictions.read(path) for path in predictions})
    made.write(out)
    typer.echo(f"wrote {out}: {len(made.frame):,} patches, the mean of {len(predictions)} runs")
    typer.echo(RESEARCH_USE_ONLY)
