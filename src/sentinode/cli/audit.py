"""`sentinode audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def audit_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    exclude_ids: Annotated[
        Path | None, typer.Option(help="Text file of patch ids to leave out, one a line.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Mark patches to leave out, each with its reason, by id; nothing is deleted."""
    from sentinode.data import AUDIT_FILE, audit
    from sentinode.tables import PackedSet

    settings = config_of(config, overrides).audit
    if exclude_ids is not None:
        settings = settings.model_copy(update={"exclude_ids": exclude_ids})
    summary = audit(PackedSet.open(folder), settings)
    for finding in summary.findings:
        fate = "left out" if finding.left_out else "told of"
        typer.echo(f"  {finding.rule:17} {finding.patches:8,}  {fate:9} {finding.said}")
    labels = ", ".join(f"{count:,} of label {name}" for name, count in summary.labels.items())
    typer.echo(f"usable: {summary.usable:,} of {summary.patches:,} ({labels})")
    typer.echo(f"details: {folder / AUDIT_FILE}; next: sentinode split {folder}")
