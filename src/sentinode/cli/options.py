"""Options that many commands share, and the configuration they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sentinode.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file, or a shipped recipe's name, as in nodenet-base."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one key; may be repeated."),
]


def config_of(config: Path | None, overrides: list[str] | None) -> Config:
    """Return the configuration of a command."""
    from sentinode.config import load_config

    return load_config(config, overrides or [])
