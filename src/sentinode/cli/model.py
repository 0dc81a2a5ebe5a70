"""`sentinode model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sentinode.models import ModelSpec, ModelSummary


def model_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN|NAME", help="A run folder, or a network's name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show a network's layers, shapes, parameters and cost; without a name, all names."""
    import json
    from dataclasses import asdict

    from sentinode.models import model_names, spec, summarise

    if name is None:
        summaries = [summarise(spec(known)) for known in model_names()]
        for each in summaries:
            typer.echo(f"{each.name}: {_total(each)}")
        return
    summary = summarise(_spec_of(name))
    typer.echo(json.dumps(asdict(summary), indent=2) if as_json else _table(summary))


def _spec_of(name: str) -> ModelSpec:
    from sentinode.core import run_folder
    from sentinode.models import read_spec, spec

    folder = run_folder(name)
    return read_spec(folder) if folder.is_dir() else spec(name)


def _table(summary: ModelSummary) -> str:
    rows = [("layer", "kind", "output", "trainable", "other", "MFLOP")]
    for layer in summary.layers:
        rows.append(
            (
                layer.name,
                layer.kind,
                "×".join(map(str, layer.shape)),
                f"{layer.trainable:,}" if layer.trainable else "",
                f"{layer.other:,}" if layer.other else "",
                f"{layer.flop / 1e6:.2f}" if layer.flop else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    shape = "×".join(map(str, summary.input_shape))
    lines += ["", f"{summary.name}, input {shape}: {_total(summary)}"]
    lines += ["FLOP of one patch forward, two for each multiplication with its addition;"]
    lines += ["convolutions and dense layers only. Other: moving statistics and the like."]
    return "\n".join(lines)


def _total(summary: ModelSummary) -> str:
    return (
        f"{summary.parameters:,} parameters ({summary.trainable:,} trainable, "
        f"{summary.other:,} other), {summary.flop / 1e9:.3f} GFLOP"
    )
