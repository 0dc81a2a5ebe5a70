"""`sentinode show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MAGNIFIED = 8


def show_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    patch: Annotated[str, typer.Argument(metavar="ID", help="The patch's id.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG to write: the patch, large, with its centre.")
    ] = None,
) -> None:
    """Show what the manifest says of one patch, and the patch itself."""
    import pandas as pd

    from sentinode.data import SPLIT_FILE
    from sentinode.tables import PackedSet, Split

    packed = PackedSet.open(folder)
    row = packed.manifest.row_of(patch)
    for name, value in packed.manifest.frame.iloc[row].items():
        if not pd.isna(value):
            typer.echo(
                f"{name:12} {value:.2f}" if isinstance(value, float) else f"{name:12} {value}"
            )
    path = folder / SPLIT_FILE
    if path.is_file():
        fold = Split.read(path).folds_of(pd.Series([patch], dtype="string")).iloc[0]
        typer.echo(f"{'fold':12} {'none' if pd.isna(fold) else fold}")
    if out is not None:
        _write_picture(packed.images[row], out)
        typer.echo(f"wrote {out}: the label is about the framed centre of 32x32 px")
    else:
        typer.echo("give --out FILE.png to see it")


def _write_picture(patch: object, out: Path) -> None:
    import numpy as np
    from PIL import Image, ImageDraw

    from sentinode.core import atomic_path
    from sentinode.errors import InputError

    if out.suffix.lower() != ".png":
        raise InputError(f"--out expects a file name ending in .png, got {out.name}")
    image = Image.fromarray(np.asarray(patch))
    side = image.width
    large = image.resize((side * MAGNIFIED, side * MAGNIFIED), Image.Resampling.NEAREST)
    low, high = (side - 32) // 2 * MAGNIFIED, (side + 32) // 2 * MAGNIFIED
    if side >= 32:
        ImageDraw.Draw(large).rectangle((low, low, high, high), outline="black", width=2)
    with atomic_path(out) as temporary:
        large.save(temporary)
