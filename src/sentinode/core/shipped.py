"""Networks whose weights come with the package, known by name wherever a run is asked for."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["run_folder", "weight_names"]

_WEIGHTS = Path(str(files("sentinode"))) / "weights"


def weight_names() -> tuple[str, ...]:
    """Return the names of the networks whose weights come with the package."""
    return tuple(sorted(f.parent.name for f in _WEIGHTS.glob("*/run.json")))


def run_folder(name: str | Path) -> Path:
    """Return the folder that a command was given as RUN.

    A folder of this path goes before the weights of this name that come with the package.
    """
    path = Path(name)
    return _WEIGHTS / path if not path.exists() and str(name) in weight_names() else path
