"""`sentinode import-keras`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def import_keras_command(
    file: Annotated[Path, typer.Argument(help="Model saved by Keras 2 or 3, .h5 or .keras.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    pixels: Annotated[
        Literal["auto", "0-1", "0-255"],
        typer.Option(
            help="Range of the pixels it was trained on; auto goes by its Rescaling layer."
        ),
    ] = "auto",
    mpp: Annotated[float, typer.Option(help="Scale it was trained at in µm/px.")] = 0.97,
    force: Annotated[bool, typer.Option(help="Replace the run in --out.")] = False,
) -> None:
    """Make a run of a model that Keras saved; TensorFlow is not needed."""
    from sentinode.models import descriptive_name, import_keras

    run = import_keras(file, out, pixels=pixels, mpp=mpp, force=force)
    typer.echo(
        f"wrote {out}: {descriptive_name(run.spec, 'keras')}, from Keras "
        f"{run.record.provenance.config['keras']}; next: sentinode predict {out} INPUT --out FILE"
    )
    typer.echo("its output is taken as the probability of tumour, of two outputs the second one's")
