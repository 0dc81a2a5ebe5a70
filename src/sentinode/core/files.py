"""Files that are whole or not there, their hashes, and the room they need."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sentinode.errors import BusyError, DiskFullError, InputError, MissingInputError

__all__ = [
    "atomic_path",
    "folder_lock",
    "hash_bytes",
    "hash_file",
    "hash_json",
    "leftovers",
    "make_folder",
    "need_disk",
    "read_json",
    "write_json",
    "write_text",
]


NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)


_TEMPORARY = re.compile(r"\.\d+\.partial(\.[^.]*)?$")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its name when the block succeeds.

    The temporary keeps the suffix of ``path``, since some writers choose a format by it. Where
    the block fails the temporary is removed and ``path`` stays as it was.

    Raises:
        DiskFullError: The disk filled up while the block wrote.
        InputError: The folder cannot be written to.
    """
    if not path.name or os.path.isdir(path):  # noqa: PTH112 - of no path does it raise
        raise InputError(f"cannot write {path}: it is a folder, expected the name of a file")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    make_folder(path.parent)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _said_plainly(error, path) from error
    finally:
        with suppress(OSError):  # of a name too long
            temporary.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files that processes killed within `atomic_path` left in a folder."""
    return [f for f in folder.glob(".*.partial*") if _TEMPORARY.search(f.name) and f.is_file()]


def _said_plainly(error: OSError, path: Path) -> Exception:
    if isinstance(error, DiskFullError) or error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"the disk is full: could not write {path}; free some room and rerun")
    if error.errno in NOT_WRITABLE:
        return InputError(f"cannot write {path}: {error.strerror}; choose another place")
    return error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and strict numbers, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is not JSON, a folder, or cannot be read.
    """
    if path.is_dir():
        raise InputError(f"expected a JSON file, got the folder {path}; name a file in it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(f"no file {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too long a number, too deep
        raise InputError(f"{path} is damaged: expected JSON, {error}") from error


def hash_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_json(value: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a value's JSON with sorted keys: equal values, equal hash."""
    return hash_bytes(json.dumps(value, sort_keys=True, allow_nan=False).encode())


def need_disk(folder: Path, n_bytes: int, what: str) -> None:
    """Stop before starting where the disk has no room.

    Raises:
        DiskFullError: Fewer than ``n_bytes`` are free where ``folder`` is or will be.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if n_bytes > free:
        raise DiskFullError(
            f"{what} needs {n_bytes / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB free; "
            "free some room or choose another --out"
        )


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one process; the lock ends with the process, even by kill -9.

    Raises:
        BusyError: Another process holds it.
    """
    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(
            f"another sentinode process is writing to {folder}; wait for it or choose another --out"
        ) from error
    except OSError as error:
        raise _said_plainly(error, folder) from error
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        InputError: A file of that name is in the way, or the parent cannot be written to.
        DiskFullError: The disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, expected a folder; choose another --out") from error
    except OSError as error:
        raise _said_plainly(error, folder) from error
