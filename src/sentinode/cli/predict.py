"""`sentinode predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of, folds_of

LINES_SAID = 10


def predict_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    patches: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A packed set, a folder of images, or one image."),
    ],
    out: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")],
    folds: Annotated[
        str | None,
        typer.Option(help="Folds, as in valid,test; by default all but train."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Predict the probability of tumour for patches."""
    from sentinode.errors import InputError

    settings, chosen = config_of(config, overrides), folds_of(folds)
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"predictions are written as .parquet or .csv, got {out.name}")

    from sentinode.models import resolve_run
    from sentinode.predict import predict
    from sentinode.types import RESEARCH_USE_ONLY

    predictions = predict(resolve_run(run), patches, settings, chosen)
    predictions.write(out)
    note = predictions.note
    for number, (name, why) in enumerate(note.get("left_out", {}).items()):
        typer.echo(f"left out {name}: {why}" if number < LINES_SAID else "...", err=True)
        if number == LINES_SAID:
            break
    typer.echo(
        f"wrote {out}: {len(predictions.frame):,} patches predicted, "
        f"{len(note.get('left_out', {})):,} left out; {note['model']} on {note['device']} in "
        f"{note['precision']}"
    )
    typer.echo(RESEARCH_USE_ONLY)
