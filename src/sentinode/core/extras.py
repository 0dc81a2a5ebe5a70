"""Optional packages: imported when needed, with the install command when missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from sentinode.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: Dotted name of the module.
        extra: The extra of sentinode that installs it.
        purpose: What it is needed for, as in "reading HDF5 files".

    Raises:
        MissingExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r} ({error}): "
            f"pip install 'sentinode[{extra}]'"
        ) from error
