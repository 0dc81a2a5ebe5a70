"""`sentinode pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of

PROBLEMS_SHOWN = 5


def pack_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="Kaggle's layout, PCam's HDF5, class folders, a CSV or Parquet table, "
            "Parquet with images, WebDataset tar, phantoms, or images."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the packed set.")],
    slide_map: Annotated[
        Path | None, typer.Option(help="CSV with id,wsi (x, y, patient, centre) to join.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Read every patch once and write one packed set: images, manifest, statistics."""
    from sentinode.data import open_source, pack

    settings = config_of(config, overrides).pack
    opened = open_source(source, slide_map)
    typer.echo(f"{opened.kind}: {len(opened):,} patches in {source}")
    packed = pack(opened, out, settings)
    frame, size = packed.manifest.frame, packed.meta.size
    aside = frame[frame["problem"].notna()]
    typer.echo(f"packed {len(frame):,} patches of {size}x{size} px into {out}")
    known = frame["slide"].dropna()
    if len(known):
        typer.echo(f"slides: {known.nunique():,}, known of {len(known):,} patches")
    if len(aside):
        typer.echo(f"put aside {len(aside):,}, kept in the manifest with their reason:")
        for patch, problem in aside[["id", "problem"]].head(PROBLEMS_SHOWN).itertuples(index=False):
            typer.echo(f"  {patch}: {problem}")
        if len(aside) > PROBLEMS_SHOWN:
            typer.echo(f"  and {len(aside) - PROBLEMS_SHOWN:,} more")
    typer.echo(f"next: sentinode audit {out}")
