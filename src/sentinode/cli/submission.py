"""`sentinode submission`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def submission_command(
    predictions: Annotated[Path, typer.Argument(help="Predictions, .parquet or .csv.")],
    sample: Annotated[Path, typer.Option(help="The competition's sample_submission.csv.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    hard: Annotated[bool, typer.Option(help="Labels 0 and 1; they lower the score.")] = False,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="With --hard, what is called tumour.")
    ] = 0.5,
) -> None:
    """Write a Kaggle submission of probabilities, in the order of its sample."""
    from sentinode.export import submission
    from sentinode.tables import Predictions
    from sentinode.types import RESEARCH_USE_ONLY

    rows = submission(Predictions.read(predictions), sample, out, hard=hard, threshold=threshold)
    typer.echo(f"wrote {out}: {rows:,} {'labels' if hard else 'probabilities'}")
    typer.echo(RESEARCH_USE_ONLY)
