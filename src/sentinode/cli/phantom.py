"""`sentinode phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def phantom_command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write, in Kaggle's layout.")],
    section: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=512,
            help="Write one slide of several nodes, this wide and high, in place of a cohort.",
        ),
    ] = None,
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
    from sentinode.phantom import write_cohort, write_section

    given = {"slides": slides, "patches": patches, "seed": seed, "whole_slides": whole_slides}
    short = [f"phantom.{key}={value}" for key, value in given.items() if value is not None]
    settings = config_of(config, [*(overrides or []), *short]).phantom
    if section is not None:
        name = write_section(out, settings.seed, section)
        typer.echo(f"wrote {out / 'slides' / name}.tif, its masks, and outlines of its tumour")
        return
    made = write_cohort(out, settings)
    typer.echo(
        f"wrote {made.train:,} labelled patches ({made.positive:,} tumour) and {made.test:,} "
        f"unlabelled ones of {made.slides} synthetic slides to {out}"
    )
    typer.echo(f"next: sentinode run {out} --out DIR")
