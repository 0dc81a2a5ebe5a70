"""`sentinode download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def download_command(
    what: Annotated[str, typer.Argument(metavar="pcam|kaggle", help="Which public set.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to fetch into.")],
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="pcam only: train, valid or test; all where not given."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Fetch a public set, go on after a break, check it and unpack it.

    pcam is PatchCamelyon of Zenodo's record 2546921 (8 GB fetched, 9 GB unpacked); kaggle is the
    Histopathologic Cancer Detection set, through Kaggle's own client and account.
    """
    from sentinode.core import unknown_name
    from sentinode.data.download import SPLITS, ZENODO, download_kaggle, download_pcam
    from sentinode.errors import InputError

    if what == "pcam":
        files = download_pcam(out, split or SPLITS, base_url=base_url or ZENODO)
        typer.echo(f"{len(files)} files are in {out}, each with the checksum that was published")
    elif what == "kaggle":
        if split:
            raise InputError("--split is for pcam; Kaggle's set comes in one piece")
        download_kaggle(out)
        typer.echo(f"unpacked into {out}")
    else:
        raise InputError(unknown_name("set", what, ("pcam", "kaggle")))
    typer.echo(f"next: sentinode pack {out} --out SET")
