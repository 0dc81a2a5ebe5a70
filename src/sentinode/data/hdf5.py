"""PatchCamelyon as it is published: HDF5 files of patches and labels, with a table of slides."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.core import Progress, atomic_path, need_disk
from sentinode.data.decode import PatchProblem
from sentinode.data.labels import FOLD_NAMES, binary, known_columns, read_table
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError, MissingInputError
from sentinode.types import UInt8Array

__all__ = ["Hdf5Source", "is_hdf5", "open_hdf5"]

MPP = 0.972
"""µm/px of level 2 of CAMELYON16's slides, from which PatchCamelyon was cut (4 x 0.243)."""

PUBLISHED = "camelyonpatch_level_2_"
"""How the names of the published files begin; of others the scale is not known."""

_NAME = re.compile(r"(?P<stem>(.*_)?)x\.h5(\.gz)?")
_BLOCK = 4 * 10**6  # bytes
_LARGEST_LABELS = 256 * 2**20  # bytes of labels that are unpacked in memory
_CACHE = 64 * 2**20  # bytes of decompressed chunks kept while reading in order


def is_hdf5(path: Path) -> bool:
    """Tell whether this is a file of patches, as in ``..._train_x.h5`` or ``.h5.gz``."""
    return path.is_file() and _NAME.fullmatch(path.name) is not None


def open_hdf5(path: Path) -> Hdf5Source:
    """Open one file ``..._x.h5`` or ``..._x.h5.gz``, or all of a folder.

    Beside the images lie their labels, ``..._y.h5`` or ``.h5.gz``, and a table
    ``..._meta.csv`` with ``wsi``, ``coord_x``, ``coord_y`` and ``center_tumor_patch``; the latter
    gives the labels where the former are missing. Without both the patches are unlabelled.

    Raises:
        InputError: A file is damaged or they do not belong together.
    """
    found = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if is_hdf5(p)]
    by_stem: dict[str, Path] = {}
    for file in found:  # of an archive and what was unpacked from it, the latter
        stem = _stem(file)
        if stem not in by_stem or by_stem[stem].suffix == ".gz":
            by_stem[stem] = file
    return Hdf5Source(path if path.is_dir() else path.parent, list(by_stem.values()))


@final
class Hdf5Source(Source):
    """Patches in HDF5 files, one a split.

    Args:
        root: The folder they are in.
        files: The files of patches, ``..._x.h5`` or ``..._x.h5.gz``.
    """

    kind = "pcam-hdf5"

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._files = files
        self.mpp = MPP if all(f.name.startswith(PUBLISHED) for f in files) else None
        self._readable = {f: f for f in files if f.suffix != ".gz"}
        tables = [_table(file) for file in files]
        self._beside = [f for file in files for f in _neighbours(file)]
        self.table = typed_items(pd.concat(tables, ignore_index=True), root)
        self._file = np.repeat(np.arange(len(files)), [len(t) for t in tables])
        self._at = np.concatenate([np.arange(len(t)) for t in tables])
        self._open: dict[Path, Any] = {}

    def prepare(self, work: Path) -> None:
        """Unpack gzipped patches, which cannot be read at random, into ``work``."""
        for number, file in enumerate(self._files):
            if file in self._readable:
                continue
            unpacked = work / f"{fingerprint(self.table[:0], [file])[:12]}-{file.stem}"
            if not unpacked.is_file():
                _unpack(file, unpacked)
            _check_patches(unpacked, int((self._file == number).sum()))
            self._readable[file] = unpacked

    def read(self, row: int) -> UInt8Array:
        """Read one patch; see :meth:`Source.read`.

        Raises:
            InputError: The file is gzipped and :meth:`prepare` was not called, or it is gone.
        """
        file = self._files[self._file[row]]
        if file not in self._open:
            self._open[file] = _opened(self._ready(file), rdcc_nbytes=_CACHE)
        try:
            patch: UInt8Array = self._open[file]["x"][self._at[row]]
        except (OSError, RuntimeError) as error:  # what h5py raises on damaged chunks
            raise PatchProblem(f"unreadable: {str(error).splitlines()[0]}") from error
        return patch

    def _ready(self, file: Path) -> Path:
        if file not in self._readable:
            raise InputError(
                f"{file} is gzipped and cannot be read in place; pack it first, or unpack it "
                f"with: gunzip -k {file.name}"
            )
        return self._readable[file]

    def fingerprint(self) -> str:
        """Hash of the table and of the files' sizes and times."""
        return fingerprint(self.table, [*self._files, *self._beside])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}


def _stem(file: Path) -> str:
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise InputError(f"{file}: expected a name that ends in x.h5 or x.h5.gz")
    return match["stem"]


def _beside(file: Path, ending: str) -> Path | None:
    plain = file.with_name(_stem(file) + ending)
    return next((p for p in (plain, plain.with_name(plain.name + ".gz")) if p.is_file()), None)


def _neighbours(file: Path) -> list[Path]:
    return [p for p in (_beside(file, "y.h5"), _beside(file, "meta.csv")) if p is not None]


def _table(file: Path) -> pd.DataFrame:
    """Read what is known of the patches of one file."""
    labels, meta = _beside(file, "y.h5"), _beside(file, "meta.csv")
    y = _labels(labels) if labels is not None else None
    known = _meta(meta) if meta is not None else None
    if y is not None and known is not None and len(known) != len(y):
        raise InputError(
            f"{meta} has {len(known):,} lines and {labels} has {len(y):,} labels; they do not "
            "belong together: fetch them again"
        )
    count = _count(file, len(y) if y is not None else len(known) if known is not None else None)
    table = pd.DataFrame(index=range(count)) if known is None else known.reset_index(drop=True)
    if y is not None:
        table[["label", "problem"]] = binary(pd.Series(y), labels or file)
    words = _stem(file).lower().split("_")
    fold = next((fold for name, fold in FOLD_NAMES.items() if name in words), None)
    table["id"] = [f"{fold or _stem(file)}/{i:06d}" for i in range(count)]
    table["path"] = [f"{file.name}#{i}" for i in range(count)]
    return table.assign(source_fold=fold)


def _count(file: Path, said: int | None) -> int:
    """Return the number of patches; of a gzipped file as the files beside it say."""
    if file.suffix != ".gz":
        return _check_patches(file, said)
    if said is None:
        raise MissingInputError(
            f"{file}: expected {_stem(file)}y.h5 or {_stem(file)}meta.csv beside it, or the file "
            f"unpacked with: gunzip -k {file.name}"
        )
    return said


def _labels(path: Path) -> NDArray[Any]:
    with _dataset(path, "y") as y:
        values: NDArray[Any] = np.asarray(y)
    if values.ndim == 0 or values.size != len(values):
        raise InputError(f"{path}: y has the shape {values.shape}, expected (N,) or (N, 1, 1, 1)")
    return values.reshape(-1)


def _meta(path: Path) -> pd.DataFrame:
    frame = read_table(path, ("wsi",))
    table = known_columns(frame, path)
    if "center_tumor_patch" in frame:
        table[["label", "problem"]] = binary(frame["center_tumor_patch"], path)
    return table


def _check_patches(path: Path, count: int | None) -> int:
    """Return the number of patches, which has to be ``count`` where that is known."""
    with _dataset(path, "x") as x:
        if x.ndim != 4 or x.shape[-1] != 3 or x.dtype != np.uint8:
            raise InputError(f"{path}: x is {x.dtype} {x.shape}, expected uint8 (N, H, W, 3)")
        if count is not None and len(x) != count:
            raise InputError(
                f"{path} has {len(x):,} patches and its labels are {count:,}; the files do not "
                "belong together, or one was cut short: fetch them again"
            )
        return int(x.shape[0])


def _unpack(file: Path, unpacked: Path) -> None:
    """Unpack a gzipped file, whole or not at all."""
    size = _unpacked_size(file)
    need_disk(unpacked.parent, size, f"unpacking {file.name}")
    with (
        Progress(f"unpack {file.name}", round(size / 1e6), unit="MB") as progress,
        atomic_path(unpacked) as temporary,
        temporary.open("wb") as target,
        _gunzipped(file) as stream,
    ):
        written = 0
        while block := stream.read(_BLOCK):
            target.write(block)
            progress.advance(round((written + len(block)) / 1e6) - round(written / 1e6))
            written += len(block)


def _unpacked_size(file: Path) -> int:
    """Return the size that a gzip announces in its last four bytes, which hold it modulo 2^32."""
    packed = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(packed - 4, 0))
        size = int.from_bytes(stream.read(4), "little")
    while size < packed:
        size += 2**32
    return size


@contextmanager
def _dataset(path: Path, name: str) -> Iterator[Any]:
    """Open a dataset of an HDF5 file, gzipped or not."""
    import h5py

    file: Any = path
    if path.suffix == ".gz":
        with _gunzipped(path) as stream:
            file = BytesIO(stream.read(_LARGEST_LABELS + 1))
        if file.getbuffer().nbytes > _LARGEST_LABELS:
            raise InputError(f"{path} is larger than labels can be; unpack it and look")
    with _opened(file, path) as opened:
        if name not in opened or not isinstance(opened[name], h5py.Dataset):
            raise InputError(
                f"{path}: expected a dataset {name!r}, it has {', '.join(opened) or 'none'}"
            )
        yield opened[name]


def _opened(file: Path | BytesIO, said: Path | None = None, **options: int) -> Any:
    import h5py

    try:
        # without locks: they fail on some network disks, and nobody writes to these files
        return h5py.File(file, "r", locking=False, **options)
    except OSError as error:
        raise InputError(
            f"{said or file}: expected an HDF5 file, it is damaged or cut short "
            f"({str(error).splitlines()[0]}); fetch it again"
        ) from error


@contextmanager
def _gunzipped(path: Path) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path, "rb") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged or ends early ({error}); fetch it again") from error
