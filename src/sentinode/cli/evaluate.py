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
        Path | None,
        typer.Option("--labels", help="Table id,label (and slide, centre, fold) joined by id."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=THEIRS",
            help="What a column is called in the files, as in probability=tumor_score or "
            "id=patch; may be repeated.",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Score predictions: figures with intervals, curves, and a report to read."""
    from sentinode.core import run_folder
    from sentinode.evaluate import column_names, evaluate, headline_lines, write_report
    from sentinode.tables import PackedSet

    settings = config_of(config, overrides).evaluate
    opened = PackedSet.open(packed) if packed is not None else None
    scored, centres = _predictions(predictions, labels, column_names(column or []))
    report = evaluate(
        scored,
        settings,
        packed=opened,
        split=_split(opened),
        run_folder=None if run is None else run_folder(run),
        centres=centres,
    )
    page = write_report(report, out, packed=opened)
    for line in headline_lines(report):
        typer.echo(line)
    for warning in report.warnings:
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"report: {page}")


def _predictions(
    path: Path, labels: Path | None, names: dict[str, str]
) -> tuple[Predictions, dict[str, str]]:
    """Return predictions with the labels joined to them, and the centre of each id known."""
    from sentinode.evaluate import read_labels, read_predictions, with_labels

    table = None if labels is None else read_labels(labels, names)
    read = read_predictions(path, names, () if table is None else set(table.columns))
    if table is None:
        return read.predictions, read.centres
    joined, centres = with_labels(read.predictions, table), dict(read.centres)
    if "centre" in table:
        known = table[table["centre"].notna()]
        centres |= dict(zip(known["id"].astype(str), known["centre"].astype(str), strict=True))
    return joined, centres


def _split(packed: PackedSet | None) -> Split | None:
    from sentinode.tables import Split

    if packed is None or not (packed.folder / "split.json").is_file():
        return None
    return Split.read(packed.folder / "split.json")
