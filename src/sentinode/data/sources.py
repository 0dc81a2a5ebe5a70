"""What people have, through one door."""

from __future__ import annotations

from pathlib import Path

from sentinode.data.decode import SUFFIXES
from sentinode.data.folders import LABELS_FILE, folder_of_images, items, open_folder
from sentinode.data.hdf5 import is_hdf5, open_hdf5
from sentinode.data.hub import HubSource, has_images
from sentinode.data.shards import shards_below
from sentinode.data.slidemap import join_slides
from sentinode.data.source import FileSource, Source
from sentinode.data.tabular import TABLE_NAMES, open_list, open_table
from sentinode.data.tars import TarSource
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import IMAGES_FILE

__all__ = ["open_source"]

SLIDE_MAPS = ("slide_map.csv", "patch_id_wsi*.csv", "patch_id_wsi*.csv.gz")


def open_source(path: Path, slide_map: Path | None = None) -> Source:
    """Open what a user has.

    Known are Kaggle's layout, PatchCamelyon's HDF5 files, class folders with or without folds
    above, a CSV or Parquet table of paths, a text file of paths, Parquet with images inside,
    WebDataset tar files, a cohort of phantoms, a folder of images, or one image.

    Args:
        path: A folder or a file.
        slide_map: CSV with id,wsi and perhaps x, y, patient, centre, joined by id; where none is
            given, slide_map.csv or patch_id_wsi*.csv in the folder.

    Raises:
        MissingInputError: There is nothing at ``path``.
        InputError: It is none of these, cannot be read, its parts contradict each other, or the
            map names none of its patches.
    """
    try:
        if not path.exists():
            raise MissingInputError(f"no file or folder {path}")
        source = _open_folder(path) if path.is_dir() else _open_file(path)
    except PermissionError as error:
        where = error.filename or path
        raise InputError(
            f"{where} cannot be read: {error.strerror or error}; see its rights"
        ) from error
    except UnicodeEncodeError as error:  # of a name, which Python keeps in a form of its own
        raise InputError(
            f"{path}: the name {error.object!r} is not UTF-8; rename the file"
        ) from error
    found = slide_map or (_map_in(path) if path.is_dir() else None)
    if found is not None:
        join_slides(source, found)
    return source


def _open_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if is_hdf5(path):
        return open_hdf5(path)
    if suffix == ".parquet" and has_images(path):
        return HubSource(path.parent, [path])
    if suffix in (".csv", ".parquet"):
        return open_table(path)
    if suffix == ".txt":
        return open_list(path)
    if suffix == ".tar":
        return TarSource(path.parent, [path])
    if suffix in SUFFIXES:
        return FileSource("image", path.parent, items(path.parent, [str(path)]))
    raise InputError(f"{path} is no source of patches; expected {_expected()}")


def _open_folder(path: Path) -> Source:
    if (path / IMAGES_FILE).is_file():
        raise InputError(
            f"{path} is a packed set already, expected what it was packed from; audit, split and "
            "train take it as it is"
        )
    kaggle = (path / LABELS_FILE).is_file()
    source = None if kaggle else _open_shards(path)
    source = open_folder(path) if source is None else source
    if source is None:
        raise InputError(f"{path} holds no patches; expected {_expected()}")
    return source


def _open_shards(path: Path) -> Source | None:
    if any(is_hdf5(p) for p in path.glob("*x.h5*")):
        return open_hdf5(path)
    for name in TABLE_NAMES:
        if (path / name).is_file():
            return _open_file(path / name)
    parquet = shards_below(path, ".parquet")
    if parquet and has_images(parquet[0]):
        _check_alone(path, parquet[0])
        return HubSource(path, parquet)
    if tars := shards_below(path, ".tar"):
        _check_alone(path, tars[0])
        return TarSource(path, tars)
    return None


def _check_alone(path: Path, shard: Path) -> None:
    """Refuse a folder in which the patches may lie twice, as class folders and their archive."""
    beside = folder_of_images(path)
    if beside is not None:
        raise InputError(
            f"{path} has both {shard.relative_to(path)} and images in {beside.relative_to(path)}/, "
            "expected one of them; move the other away"
        )


def _expected() -> str:
    return (
        f"Kaggle's layout (train/, {LABELS_FILE}), PatchCamelyon's ..._x.h5 or .h5.gz, class "
        "folders (0/ and 1/, or normal/ and tumor/, with or without train/ valid/ test/ above), a "
        "table patches.csv or .parquet with a column path, a .txt of paths, Parquet with images, "
        f"WebDataset .tar, or images ({', '.join(sorted(SUFFIXES))})"
    )


def _map_in(folder: Path) -> Path | None:
    found = [p for pattern in SLIDE_MAPS for p in sorted(folder.glob(pattern))]
    return found[0] if found else None
