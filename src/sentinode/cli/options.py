"""Options that many commands share, and the configuration they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sentinode.config import Config
    from sentinode.types import Fold

RUN_HELP = "Run folder, or the name of weights that come with the package, as in nodenet-base."
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


def folds_of(text: str | None) -> list[Fold] | None:
    """Return the folds named, as in ``valid,test``; None for none named."""
    from sentinode.core import unknown_name
    from sentinode.errors import InputError
    from sentinode.types import FOLDS

    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FOLDS:
            raise InputError(unknown_name("fold", name, FOLDS))
    return [fold for fold in FOLDS if fold in names]


def split_file(packed: Path) -> Path:
    """Return where a set's split is."""
    from sentinode.errors import MissingInputError

    path = packed / "split.json"
    if not path.is_file():
        raise MissingInputError(f"{packed} has no split; make one with: sentinode split {packed}")
    return path
