"""From an annotation file to the truth of a slide, and which file belongs to which slide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import final

from sentinode.errors import InputError, MissingInputError
from sentinode.slides.annotation import Meaning, Outlines, Truth, meanings
from sentinode.slides.dicom import series_of
from sentinode.slides.fill import Box
from sentinode.slides.formats import EXPECTED, read_shapes
from sentinode.slides.mask_file import MASK_SUFFIXES, MaskImage

__all__ = [
    "Reading",
    "annotation_files",
    "check_name",
    "is_mask",
    "open_truth",
    "pair",
    "slide_files",
    "stem_of",
]

OUTLINE_SUFFIXES = frozenset({".xml", ".json", ".geojson"})
SLIDE_SUFFIXES = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif"}
    | {".dcm", ".qptiff"}
)
ENDINGS = re.compile(
    r"[-_. ]+(?:evaluation[-_. ]+)?(?:mask|masks|annotations?|tumou?r|truth|labels?)$",
    re.IGNORECASE,
)
"""What people put behind a slide's name for its annotation."""
MASK_ENDINGS = re.compile(r"[-_. ]+(?:evaluation[-_. ]+)?masks?$", re.IGNORECASE)
"""What is behind the name of a mask and of no slide: there are slides named ``case1_tumor``."""
NO_NAME = re.compile(r"(\..*)?|slides(-\d+-of-\d+)?\.csv", re.IGNORECASE)
"""A slide of such a name would have no folder of its own beside the table of all slides."""


@final
@dataclass(frozen=True)
class Reading:
    """How annotation files are to be understood.

    Attributes:
        classes: Meaning by class name, before the known ones.
        mask_values: Values of a mask image that mean tumour; none takes all but 0.
        only_annotated: Nothing is known outside of outlines, and where a mask image is 0; else
            all is normal there.
    """

    classes: Mapping[str, Meaning] = field(default_factory=dict)
    mask_values: tuple[int, ...] = ()
    only_annotated: bool = False


def open_truth(path: Path, size: tuple[int, int], reading: Reading) -> Truth:
    """Open the annotation of a slide.

    Args:
        path: ASAP's XML, NCRF's JSON, QuPath's GeoJSON, or a mask image.
        size: Width and height of the slide's level 0 in px.
        reading: How it is to be understood.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged, has classes of unknown meaning, or lies outside of the slide.
    """
    if is_mask(path):
        return MaskImage(path, size, reading.mask_values, reading.only_annotated)
    if path.suffix.lower() not in OUTLINE_SUFFIXES:
        raise InputError(f"{path} is no annotation; expected {EXPECTED}")
    _, shapes, notices = read_shapes(path)
    truth = Outlines(meanings(shapes, reading.classes, str(path)), reading.only_annotated, notices)
    _check_place(truth, size, path)
    return truth


def is_mask(path: Path) -> bool:
    """Tell by its suffix whether an annotation is a mask image."""
    return path.suffix.lower() in MASK_SUFFIXES


def _check_place(truth: Outlines, size: tuple[int, int], path: Path) -> None:
    extent, slide = truth.extent(), Box(0, 0, *size)
    if extent is None:
        if not truth.notices:
            truth.notices = ("holds no outline: the slide counts as normal",)
        return
    if not extent.meets(slide):
        raise InputError(
            f"{path} outlines x {extent.x} to {extent.x + extent.width}, y {extent.y} to "
            f"{extent.y + extent.height}, all outside of the slide of {size[0]}x{size[1]} px: it "
            "is of another slide, or not in px of level 0"
        )
    beyond = max(
        -extent.x, -extent.y, extent.x + extent.width - size[0], extent.y + extent.height - size[1]
    )
    if beyond > 1:
        truth.notices = (
            *truth.notices,
            f"reaches {beyond} px out of the slide, where it was cut off: is it of this slide?",
        )


def slide_files(paths: Sequence[Path]) -> list[Path]:
    """List slides: files as they are named, and in folders all that look like slides.

    In a folder, an image named as another file with ``_mask`` behind is that one's mask, not a
    slide, and of the files of one DICOM series the first by name stands for all.

    Raises:
        MissingInputError: There is nothing at a path.
        InputError: A folder has no slides, two slides have one name, or a name cannot be used.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingInputError(f"no slide or folder of slides {path}")
        inside = _in_folder(path, SLIDE_SUFFIXES) if path.is_dir() else [path]
        stems = {stem_of(p) for p in inside}
        slides = _one_of_each([p for p in inside if not _is_mask(p, stems)])
        if not slides:
            suffixes = ", ".join(sorted(SLIDE_SUFFIXES))
            raise InputError(f"{path} holds no slides; expected files of {suffixes}")
        found += slides
    found = sorted(set(found), key=lambda p: (stem_of(p), str(p)))
    for path in found:
        check_name(path)
    for first, second in pairwise(found):
        if stem_of(first) == stem_of(second):
            raise InputError(
                f"{first} and {second} have one name; a slide's name is its id, rename one"
            )
    return found


def check_name(path: Path) -> None:
    """Refuse a slide whose name is no name of a folder.

    Raises:
        InputError: It is empty, hidden, that of the table of all slides, or not UTF-8.
    """
    if NO_NAME.fullmatch(stem_of(path)):
        raise InputError(
            f"{path}: {stem_of(path)!r} cannot be a slide's name, which is its folder's; rename it"
        )
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the slide's name {path.name!r} is not UTF-8; rename it") from error


def _is_mask(path: Path, stems: Set[str]) -> bool:
    """Tell whether a file is the mask of another one, by its name."""
    stem = stem_of(path)
    of = MASK_ENDINGS.sub("", stem)
    return is_mask(path) and of != stem and of in stems


def _one_of_each(files: Sequence[Path]) -> list[Path]:
    """Leave the first file of each DICOM series: the slide is opened by any of them."""
    seen: set[bytes] = set()
    kept = []
    for file in files:
        series = series_of(file) if file.suffix.lower() == ".dcm" else None
        if series is None or series not in seen:
            kept.append(file)
        if series is not None:
            seen.add(series)
    return kept


def annotation_files(paths: Sequence[Path]) -> list[Path]:
    """List annotation files: as they are named, and all in folders.

    Raises:
        MissingInputError: There is nothing at a path.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingInputError(f"no annotation file or folder {path}")
        suffixes = OUTLINE_SUFFIXES | MASK_SUFFIXES
        found += _in_folder(path, suffixes) if path.is_dir() else [path]
    return sorted(set(found))


def pair(slides: Sequence[Path], files: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """Find the annotation of each slide by its name; one slide and one file need none.

    Args:
        slides: Of different names.
        files: Annotations. ``tumor_001.xml`` and ``tumor_001_mask.tif`` are of ``tumor_001.svs``;
            a slide itself among them is passed over.

    Returns:
        The file of each slide that has one, and the files that are of none.

    Raises:
        InputError: Two files are of one slide.
    """
    files = [f for f in files if f not in set(slides)]
    if len(slides) == len(files) == 1:
        return {slides[0]: files[0]}, []
    by_name = {stem_of(slide).casefold(): slide for slide in slides}
    found: dict[Path, Path] = {}
    strays: list[Path] = []
    for file in files:
        stem = stem_of(file).casefold()
        slide = by_name.get(stem) or by_name.get(ENDINGS.sub("", stem))
        if slide is None:
            strays.append(file)
        elif slide in found:
            raise InputError(
                f"{found[slide]} and {file} are both of the slide {stem_of(slide)}; give one"
            )
        else:
            found[slide] = file
    return found, strays


def stem_of(path: Path) -> str:
    """Return a file's name without its suffixes, as in ``tumor_001`` of ``tumor_001.ome.tif``."""
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _in_folder(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(
        p
        for p in entries
        if p.suffix.lower() in suffixes and p.is_file() and not p.name.startswith(".")
    )
