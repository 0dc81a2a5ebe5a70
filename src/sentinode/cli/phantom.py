"""`sentinode phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def phantom_command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write, in Kaggle's layout.")],
    slides: Annotated[int | None, typer.Option(help="Number of slides.")] = None,
    patches: Annotated[int | None, typer.Option(help="Number of patches over all slides.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn.")] = None,
    whole_slides: Annotated[
        int | None, typer.Option(help="How many slides to write whole, as pyramidal TIFF.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Render synthetic lymph-node slides with known truth, and patches of them."""
    from sentinode.phantom import write_cohort

    given = {"slides": slides, "patches": patches, "seed": seed, "whole_slides": whole_slides}
    short = [f"phantom.{key}={value}" for key, value in given.items() if value is not None]
    made = write_cohort(out, config_of(config, [*(overrides or []), *short]).phantom)
    typer.echo(
        f"wrote {made.train:,} labelled patches ({made.positive:,} tumour) and {made.test:,} "
        f"unlabelled ones of {made.slides} synthetic slides to {out}"
    )
    typer.echo(f"next: sentinode run {out} --out DIR")
