"""`sentinode evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.tables import PackedSet, Predictions, Split


def evaluate_command(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet or CSV: id, probability (or logit), label, slide, fold.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")],
    packed: Annotated[
        Path | None,
        typer.Option("--packed", help="The packed set: labels, split, example patches."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="The run that predicted, for its training; folder or name."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="CSV id,label (and slide) joined by id.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Score predictions: figures with intervals, curves, and a report to read."""
    from sentinode.core import run_folder
    from sentinode.evaluate import evaluate, headline_lines, write_report
    from sentinode.tables import PackedSet

    settings = config_of(config, overrides).evaluate
    opened = PackedSet.open(packed) if packed is not None else None
    report = evaluate(
        _predictions(predictions, labels),
        settings,
        packed=opened,
        split=_split(opened),
        run_folder=None if run is None else run_folder(run),
    )
    page = write_report(report, out, packed=opened)
    for line in headline_lines(report):
        typer.echo(line)
    typer.echo(f"report: {page}")


def _predictions(path: Path, labels: Path | None) -> Predictions:
    import pandas as pd

    from sentinode.errors import InputError, MissingInputError
    from sentinode.evaluate import with_labels
    from sentinode.tables import Predictions

    predictions = Predictions.read(path)
    if labels is None:
        return predictions
    if not labels.is_file():
        raise MissingInputError(f"no labels at {labels}")
    try:
        table = pd.read_csv(labels, dtype={"id": "string", "slide": "string"})
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{labels}: expected CSV with a header, {error}") from error
    return with_labels(predictions, table)


def _split(packed: PackedSet | None) -> Split | None:
    from sentinode.tables import Split

    if packed is None or not (packed.folder / "split.json").is_file():
        return None
    return Split.read(packed.folder / "split.json")
