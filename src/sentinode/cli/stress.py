"""`sentinode stress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of


def stress_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set with labels.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")],
    targets: Annotated[
        Path | None,
        typer.Option(help="Image, or folder of images, whose stain patches are moved toward."),
    ] = None,
    patches: Annotated[
        int | None, typer.Option(min=20, help="Test at most this many patches, drawn by class.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Change stain, light, focus and files by degrees, and see what a network keeps."""
    more = [] if patches is None else [f"stress.patches={patches}"]
    settings = config_of(config, [*(overrides or []), *more])

    from sentinode.core import run_folder
    from sentinode.stress import read_targets, stress, write_stress
    from sentinode.tables import PackedSet
    from sentinode.types import RESEARCH_USE_ONLY

    packed = PackedSet.open(folder)
    looks = read_targets(targets) if targets is not None else {}
    stressed = stress(run_folder(run), packed, settings, out, looks)
    page, report = write_stress(stressed, out), stressed.report
    for line in (report.headline, *report.warnings, *report.lessons):
        typer.echo(line)
    typer.echo(f"report: {page}")
    typer.echo(RESEARCH_USE_ONLY)
