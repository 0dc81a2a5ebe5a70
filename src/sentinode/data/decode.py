"""One image file to one RGB patch, or the reason why not."""

from __future__ import annotations

import os
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from sentinode.types import UInt8Array

__all__ = ["SUFFIXES", "PatchProblem", "decode", "read_patch"]

# Once and for all threads: Pillow says of a bomb and of damaged metadata by a warning only.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".bmp"})
LARGEST_SIDE = 4096
PNG = b"\x89PNG\r\n\x1a\n"
CUT_SHORT = "unreadable: a TIFF cut short in its header"

_TYPE_SIZES = {1: "B", 3: "H", 4: "I"}  # the TIFF field types a baseline header uses
_TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    259: "compression",
    262: "photometric",
    273: "offset",
    277: "samples",
    284: "planar",
    317: "predictor",
    338: "extra",
}


class _Layout(NamedTuple):
    """A plain TIFF whose pixels end it: what stands before them, its length, and its shape."""

    head: bytes
    length: int
    shape: tuple[int, ...]


_last: list[_Layout] = []  # of the plain TIFF read last: the files of a set begin alike


class PatchProblem(Exception):  # noqa: N818 - a finding about one patch, not a failure of the program
    """Why one patch cannot be used; packing notes it and goes on."""


def read_patch(path: str | Path) -> UInt8Array:
    """Read one image file.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        PatchProblem: The file cannot be read, or is no 8-bit RGB image.
    """
    try:
        return decode(_content(path))
    except OSError as error:
        raise PatchProblem(f"unreadable: {error.strerror}") from error


def _content(path: str | Path) -> bytes:
    """Read a small file without the buffers of ``open``, which cost as much as the reading."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(handle).st_size
        parts = [os.read(handle, size + 1)]
        while parts[-1] and sum(map(len, parts)) < size:
            parts.append(os.read(handle, size))
        return b"".join(parts) if len(parts) > 1 else parts[0]
    finally:
        os.close(handle)


def decode(data: bytes) -> UInt8Array:
    """Decode an image; an uncompressed one-strip RGB TIFF without a detour.

    Args:
        data: The file's content: TIFF, PNG, JPEG, WebP or BMP.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        PatchProblem: It is damaged, or no 8-bit RGB image.
    """
    if not data:
        raise PatchProblem("unreadable: the file is empty")
    last = _last[0] if _last else None  # one look at it: another thread may put the next there
    if last is not None and len(data) == last.length and data.startswith(last.head):
        return np.frombuffer(data, np.uint8, offset=len(last.head)).reshape(last.shape)
    header = _tiff_header(data)
    if header is not None:
        plain = _plain_strip(data, header)
        if plain is not None:
            _remember(data, header, plain)
            return plain
    return _by_pillow(data)


def _by_pillow(data: bytes) -> UInt8Array:
    if data.startswith(PNG) and data[24:25] == b"\x10":  # Pillow would cut them to 8 in silence
        raise PatchProblem("wrong mode: 16 bits a channel, expected 8-bit RGB")
    try:
        with Image.open(BytesIO(data)) as image:
            if max(image.size) > LARGEST_SIDE:
                raise PatchProblem(
                    f"wrong size: {image.width}x{image.height} px, "
                    f"a patch has at most {LARGEST_SIDE} px a side"
                )
            return _rgb(image)
    except PatchProblem:
        raise
    except UnidentifiedImageError as error:
        raise PatchProblem("unreadable: not an image, or one cut short") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
        Warning,
    ) as error:  # all that Pillow's decoders raise on damaged files
        raise PatchProblem(f"unreadable: {str(error).splitlines()[0]}") from error


def _rgb(image: Image.Image) -> UInt8Array:
    if image.mode == "RGBA":
        pixels = np.asarray(image)
        if (pixels[..., 3] == 255).all():
            return np.ascontiguousarray(pixels[..., :3])
        raise PatchProblem("wrong mode: RGBA with transparent pixels, expected 8-bit RGB")
    if image.mode != "RGB":
        names = {"L": "grayscale", "P": "palette", "1": "black and white"}
        name = f"{names[image.mode]} ({image.mode})" if image.mode in names else image.mode
        raise PatchProblem(f"wrong mode: {name}, expected 8-bit RGB")
    return np.asarray(image)


def _tiff_header(data: bytes) -> dict[str, tuple[int, ...]] | None:
    """Read the first directory of a TIFF; None where it is no TIFF or not simply made."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if data[:2] == b"II" else ">"
    header: dict[str, tuple[int, ...]] = {}
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (entries,) = struct.unpack_from(order + "H", data, start)
        directory = data[start + 2 : start + 2 + 12 * entries]
        if len(directory) < 12 * entries:
            raise PatchProblem(CUT_SHORT)
        for tag, kind, count, value in struct.iter_unpack(order + "HHI4s", directory):
            if tag not in _TAGS:
                continue
            if kind not in _TYPE_SIZES or not 0 < count <= 16:
                return None
            form = f"{order}{count}{_TYPE_SIZES[kind]}"
            if struct.calcsize(form) > 4:
                (elsewhere,) = struct.unpack(order + "I", value)
                header[_TAGS[tag]] = struct.unpack_from(form, data, elsewhere)
            else:
                header[_TAGS[tag]] = struct.unpack_from(form, value)
    except struct.error as error:
        raise PatchProblem(CUT_SHORT) from error
    return header


def _remember(data: bytes, header: dict[str, tuple[int, ...]], plain: UInt8Array) -> None:
    """Keep a layout where nothing but the head decides it."""
    head = data[: header["offset"][0]]
    try:
        alone = len(head) + plain.size == len(data) and _tiff_header(head) == header
    except PatchProblem:  # a part of the header lies elsewhere
        return
    if alone:
        _last[:] = [_Layout(head, len(data), plain.shape)]


def _plain_strip(data: bytes, header: dict[str, tuple[int, ...]]) -> UInt8Array | None:
    bits, extra = header.get("bits", (1,)), header.get("extra")
    if max(bits) > 8:
        raise PatchProblem(f"wrong mode: {max(bits)} bits a channel, expected 8-bit RGB")
    plain = (
        bits == (8, 8, 8)
        and extra is None
        and header.get("compression") == (1,)
        and header.get("photometric") == (2,)
        and header.get("samples") == (3,)
        and header.get("planar", (1,)) == (1,)
        and header.get("predictor", (1,)) == (1,)
        and len(header.get("offset", ())) == 1
        and len(header.get("width", ())) == len(header.get("height", ())) == 1
    )
    if not plain:
        return None
    (width,), (height,), (offset,) = header["width"], header["height"], header["offset"]
    if max(width, height) > LARGEST_SIDE:
        return None  # said by the general way
    size = width * height * 3
    if offset + size > len(data):
        raise PatchProblem(
            f"unreadable: TIFF cut short, {len(data)} bytes where {offset + size} are announced"
        )
    return np.frombuffer(data, np.uint8, size, offset).reshape(height, width, 3)
