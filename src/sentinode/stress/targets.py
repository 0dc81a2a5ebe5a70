"""Images whose stain patches are moved toward."""

from __future__ import annotations

from pathlib import Path

from sentinode.data import stain_target
from sentinode.data.decode import SUFFIXES
from sentinode.errors import InputError, MissingInputError
from sentinode.stain import StainTarget

__all__ = ["read_targets"]

MOST = 8


def read_targets(path: Path) -> dict[str, StainTarget]:
    """Measure the stain of one image, or of each image of a folder, by file name.

    The name is without its ending, except where several differ in that alone.

    Raises:
        MissingInputError: There is nothing at ``path``, or no image in the folder.
        InputError: An image cannot be read or shows too little tissue, or there are more than 8.
    """
    if not path.exists():
        raise MissingInputError(f"no image or folder of images {path}")
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise MissingInputError(f"{path} holds no image ({', '.join(sorted(SUFFIXES))})")
    if len(files) > MOST:
        raise InputError(
            f"{path} holds {len(files)} images, expected at most {MOST}; each is a target of its "
            "own, so choose some that differ"
        )
    stems = [file.stem for file in files]
    return {
        file.name if stems.count(file.stem) > 1 else file.stem: stain_target(file, "macenko")
        for file in files
    }
