"""`sentinode init` and `sentinode config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def init_command(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("sentinode.toml"),
    force: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Write a configuration file with every key, its default and what it means."""
    from sentinode.config import commented_toml
    from sentinode.core import write_text
    from sentinode.errors import InputError

    if path.exists() and not force:
        raise InputError(f"{path} is there already; choose another name or give --force")
    write_text(path, commented_toml())
    typer.echo(f"wrote {path}")


def config_command(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print the configuration as it will be used, file and overrides resolved."""
    from sentinode.config import resolved_toml

    typer.echo(resolved_toml(config_of(config, overrides)), nl=False)
