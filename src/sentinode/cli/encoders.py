"""`sentinode encoders`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sentinode.models.encoders import KnownEncoder


def encoders_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A short name, hf:OWNER/NAME or timm:NAME; none lists those known."
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch it, once its licence is shown.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show pretrained encoders, their licences, and fetch one; nothing else goes online."""
    import json

    from sentinode.models.encoders import KNOWN, fetch, known_of

    if name is None:
        rows = [encoder.model_dump(mode="json") for encoder in KNOWN.values()]
        typer.echo(json.dumps(rows, indent=2) if as_json else _table(list(KNOWN.values())))
        return
    known = known_of(name)
    if as_json and known is not None and not download:
        typer.echo(json.dumps(known.model_dump(mode="json"), indent=2))
        return
    for line in _facts(name, known):
        typer.echo(line)
    if download:
        source = fetch(name)
        size = sum(path.stat().st_size for path in source.files) / 1e9
        typer.echo(f"fetched: {size:.2f} GB, SHA-256 {source.weights_hash()}")
        typer.echo(
            f"next: sentinode train SET --out RUN --set model.name=encoder "
            f"--set model.encoder={name}"
        )


def _facts(name: str, known: KnownEncoder | None) -> list[str]:
    from sentinode.errors import MissingExtraError
    from sentinode.models.encoders import repository_of
    from sentinode.models.encoders.source import local_folder

    repository = repository_of(name)
    address = f"https://huggingface.co/{repository}" if repository else "no repository"
    if known is None:
        lines = [f"{name}: {address}", f"licence: not known here; read it at {address}"]
    else:
        side = known.input_size
        lines = [
            f"{known.name}: {address}",
            f"licence: {known.licence}"
            + ("; gated, its terms are accepted there" if known.gated else "; not gated"),
            f"{known.library}, {known.architecture}: {side}×{side} px, {known.pooling}, "
            f"{known.features:,} features; mean {known.mean}, deviation {known.std}",
        ]
        if known.published == "pickle":
            lines.append("published as a pickle, which is never loaded: see docs/encoders.md")
    try:
        here = repository is not None and local_folder(repository) is not None
    except MissingExtraError as error:
        return [*lines, f"on this machine: cannot tell; {error}"]
    return [*lines, f"on this machine: {'yes' if here else 'no'}"]


def _table(encoders: list[KnownEncoder]) -> str:
    header = ("name", "repository", "library", "features", "pooling", "licence", "gated", "weights")
    rows = [header] + [
        (
            e.name,
            e.repository,
            e.library,
            f"{e.features:,}",
            e.pooling,
            e.licence,
            "yes" if e.gated else "no",
            e.published,
        )
        for e in encoders
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += ["", "Any other: hf:OWNER/NAME, timm:NAME, monai:NAME or a folder."]
    lines += ["Read the licence of an encoder before you use it; many allow research only."]
    return "\n".join(lines)
