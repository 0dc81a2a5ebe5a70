"""A section as it lies on glass: several nodes of any size, pen and a bubble, all with truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sentinode.core import make_folder, need_disk
from sentinode.phantom.annotations import write_annotations
from sentinode.phantom.slide import MPP, Slide, make_slide
from sentinode.phantom.tissue import Field, smooth_noise
from sentinode.slides import write_pyramid
from sentinode.types import UInt8Array

__all__ = ["Section", "make_section", "write_section"]

NODE = 1792  # px, side of the square in which a node lies
DIFFERENT = 8  # nodes drawn anew; more of them are these, turned
GLASS = 243
PEN_PX, BUBBLE_PX = (300, 600), (350, 700)
SOFTWARE = "sentinode phantom"
BYTES_PER_PX = 14  # arrays and files
INKS = ((0.15, 0.35, 0.8), (0.1, 0.55, 0.3), (0.13, 0.13, 0.14))


@final
@dataclass(frozen=True)
class Section:
    """A slide of several nodes.

    Attributes:
        image: uint8 (S, S, 3), RGB, at 0.97 µm/px.
        tumour: bool (S, S).
        tissue: bool (S, S).
        pen: bool (S, S), over glass and tissue.
        bubble: bool (S, S), over glass.
        mpp: µm/px of all.
    """

    image: UInt8Array
    tumour: NDArray[np.bool_]
    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    bubble: NDArray[np.bool_]
    mpp: float = MPP


def make_section(
    seed: int,
    side: int,
    share: float = 0.33,
    pale: float = 1.0,
    marks: bool = True,
    folder: Path | None = None,
) -> Section:
    """Make a section: the same each time.

    Args:
        seed: Of everything drawn.
        side: Of the slide in px.
        share: Of the slide that is tissue, at most about 0.6.
        pale: By which the optical density of all tissue is multiplied.
        marks: Whether there are pen strokes and a bubble.
        folder: Where its arrays are kept, memory-mapped: they need not fit in memory. It has to
            stay as long as the section is used.
    """
    rng = np.random.default_rng((seed, 11))
    image = _glass(rng, _room(folder, "image", (side, side, 3), np.uint8))
    tumour, tissue, pen, bubble = (
        _room(folder, name, (side, side), bool) for name in ("tumour", "tissue", "pen", "bubble")
    )
    covered = 0
    node = min(NODE, side // 2)
    across = max(1, side // node)
    places = rng.permutation(across**2)
    drawn: list[Slide] = []
    for number, place in enumerate(places):
        if covered >= share * side**2:
            break
        if len(drawn) < DIFFERENT:
            drawn.append(make_slide(seed, number, node))
        free = side - across * node
        y, x = (
            int(i) * node + int(rng.integers(free // across + 1)) for i in divmod(place, across)
        )
        here = np.s_[y : y + node, x : x + node]
        turn = int(rng.integers(8))
        slide = drawn[number % DIFFERENT]
        inside = _turned(slide.tissue, turn) & _outline(rng, node)
        _lay(image[here], _turned(slide.image, turn), inside, pale)
        tissue[here] |= inside
        covered += int(inside.sum())
        tumour[here] |= _turned(slide.mask, turn) & inside
    if marks:
        _bubble(rng, image, bubble, tissue)
        for ink in INKS:
            _pen(rng, image, pen, ink)
    return Section(image, tumour, tissue, pen, bubble)


def write_section(out: Path, seed: int, side: int, share: float = 0.33) -> str:
    """Write a section as a pyramidal TIFF with its masks and annotations, in little memory.

    Args:
        out: Gets ``slides/NAME.tif``, ``slides/NAME_mask.tif`` (tumour), ``tissue/NAME.tif`` and
            the outlines of the tumour in ``annotations/``, as `write_annotations` has them. What
            is there already is kept.
        seed: As of :func:`make_section`.
        side: As of :func:`make_section`.
        share: As of :func:`make_section`.

    Returns:
        The slide's name.

    Raises:
        DiskFullError: There is no room.
    """
    name = f"section_{seed:03d}_{side}"
    image = out / "slides" / f"{name}.tif"
    if image.is_file():
        return name
    need_disk(out, side * side * BYTES_PER_PX, "the section")
    make_folder(out)
    with TemporaryDirectory(dir=out, prefix=".section-") as folder:
        section = make_section(seed, side, share, folder=Path(folder))
        for path, mask in (
            (image.with_name(f"{name}_mask.tif"), section.tumour),
            (out / "tissue" / f"{name}.tif", section.tissue),
        ):
            write_pyramid(path, mask.view(np.uint8), section.mpp, SOFTWARE)
        write_annotations(out / "annotations", name, section.tumour)
        write_pyramid(image, section.image, section.mpp, SOFTWARE)  # last: with it, all is there
    return name


def _turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    flipped = image[:, ::-1] if turn >= 4 else image
    return np.rot90(flipped, turn % 4)


def _room(folder: Path | None, name: str, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    if folder is None:
        return np.zeros(shape, dtype)
    room: NDArray[Any] = np.lib.format.open_memmap(
        folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape
    )
    return room


def _glass(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Fill an image with glass, in place."""
    side = len(image)
    grain = rng.normal(GLASS, 1.2, (512, 512, 3)).round().astype(np.uint8)
    row = np.tile(grain, (1, -(-side // 512), 1))[:, :side]
    for top in range(0, side, 512):
        image[top : top + 512] = row[: min(512, side - top)]
    return image


def _outline(rng: np.random.Generator, node: int) -> NDArray[np.bool_]:
    """Return an oval with an uneven border, bool (node, node)."""
    axis = np.linspace(-1, 1, node, dtype=np.float32)
    ratio = rng.uniform(0.75, 1.0)
    distance = np.hypot(axis[:, None], axis[None] / ratio)
    found: NDArray[np.bool_] = distance + 0.05 * smooth_noise(rng, node, node / 6) < 0.88
    return found


def _lay(canvas: UInt8Array, picture: UInt8Array, inside: NDArray[np.bool_], pale: float) -> None:
    """Lay a node upon glass, with a soft edge."""
    alpha: Field = ndimage.uniform_filter(inside.astype(np.float32), 5)[..., None]
    white = np.percentile(picture[::8, ::8], 99, axis=(0, 1))
    node = GLASS * (picture / white).clip(0, 1).astype(np.float32) ** pale
    canvas[:] = (canvas * (1 - alpha) + node * alpha).round().astype(np.uint8)


def _bubble(
    rng: np.random.Generator,
    image: UInt8Array,
    bubble: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
) -> None:
    """Put one on glass: a dark rim, and within it glass a little grayer."""
    side = len(image)
    radius = int(min(rng.uniform(*BUBBLE_PX), side / 8))
    rim = max(6, radius // 15)
    room = ndimage.distance_transform_edt(~tissue[::16, ::16]) * 16
    y, x = np.unravel_index(room.argmax(), room.shape)
    y, x = (int(np.clip(16 * i, radius + rim, side - radius - rim)) for i in (y, x))
    reach = radius + rim
    here = np.s_[y - reach : y + reach, x - reach : x + reach]
    axis = np.arange(-reach, reach)
    distance = np.hypot(axis[:, None], axis[None])
    shade = np.where(distance < radius, 0.95, 1) * (
        1 - 0.75 * np.exp(-(((distance - radius) / rim * 2) ** 2))
    )
    image[here] = (image[here] * shade[..., None]).round().astype(np.uint8)
    bubble[here] |= (distance <= reach) & ~tissue[here]


def _pen(
    rng: np.random.Generator,
    image: UInt8Array,
    pen: NDArray[np.bool_],
    ink: tuple[float, float, float],
) -> None:
    """Draw a short wavy stroke."""
    side = len(image)
    width = int(min(rng.uniform(*PEN_PX), side / 10))
    length = min(side // 2, 6 * width)
    y, x = (int(rng.integers(side - reach + 1)) for reach in (3 * width, length))
    along = np.arange(length)
    wave = width * np.sin(along / length * 5) * 0.5 + 1.5 * width
    stroke = np.abs(np.arange(3 * width)[:, None] - wave[None]) < width / 2
    here = np.s_[y : y + 3 * width, x : x + length]
    shade = 1 - stroke[..., None] * (1 - np.array(ink, np.float32)) * 0.9
    image[here] = (image[here] * shade).round().astype(np.uint8)
    pen[here] |= stroke
