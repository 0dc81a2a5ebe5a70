"""Every error a user can cause, from one base class.

The command line prints such an error as one line and exits with code 2; anything else is a
defect of the program and keeps its traceback. A message says what was expected, what came and
what to do.
"""

from __future__ import annotations

__all__ = [
    "BusyError",
    "CheckpointError",
    "ConfigError",
    "DiskFullError",
    "InputError",
    "MissingExtraError",
    "MissingInputError",
    "SentinodeError",
    "TrainingError",
]


class SentinodeError(Exception):
    """Base of all errors that are the input's or the machine's, not the program's."""


class InputError(SentinodeError, ValueError):
    """What was given cannot be used: wrong columns, wrong shape, wrong labels."""


class MissingInputError(SentinodeError, FileNotFoundError):
    """A file or folder that is needed is not there."""

    def __str__(self) -> str:
        """Give the message alone, without the errno form of ``FileNotFoundError``."""
        return str(self.args[0]) if self.args else ""


class ConfigError(SentinodeError, ValueError):
    """A configuration key or value is unknown or out of range."""


class MissingExtraError(SentinodeError, ImportError):
    """An optional package is needed; the message carries the exact install command."""


class CheckpointError(SentinodeError, ValueError):
    """A run folder or its weights are damaged, of another version or of another model."""


class TrainingError(SentinodeError, RuntimeError):
    """Training cannot go on: it diverged, or its data cannot teach anything."""


class DiskFullError(SentinodeError, OSError):
    """There is not enough room on the disk for what is to be written."""

    def __str__(self) -> str:
        """Give the message alone, without the errno form of ``OSError``."""
        return str(self.args[0]) if self.args else ""


class BusyError(SentinodeError, RuntimeError):
    """Another process is writing to the same folder."""


class WorkerLostError(SentinodeError, RuntimeError):
    """A worker process was ended from outside before its work was done."""


class NetworkError(SentinodeError, RuntimeError):
    """What was to be fetched could not be: offline, refused, or broken off too often."""
