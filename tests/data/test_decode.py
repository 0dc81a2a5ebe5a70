import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from builders.sources import damaged, picture
from sentinode.data.decode import PatchProblem, _plain_strip, _tiff_header, decode, read_patch


def encoded(form: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture(1)).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["TIFF", "PNG", "BMP"])
def test_lossless_formats_give_the_pixels(form: str) -> None:
    np.testing.assert_array_equal(decode(encoded(form)), picture(1))


@pytest.mark.parametrize(("form", "options"), [("JPEG", {}), ("WEBP", {"lossless": True})])
def test_other_formats_give_what_pillow_gives(form: str, options: dict[str, object]) -> None:
    data = encoded(form, **options)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_the_short_way_is_taken_and_right(byteorder: str) -> None:
    buffer = BytesIO()
    tifffile.imwrite(buffer, picture(2), photometric="rgb", byteorder=byteorder, metadata=None)
    data = buffer.getvalue()
    header = _tiff_header(data)
    assert header is not None
    plain = _plain_strip(data, header)
    assert plain is not None
    np.testing.assert_array_equal(plain, picture(2))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "deflate"},
        {"compression": "deflate", "predictor": 2},
        {"planarconfig": "separate"},
        {"rowsperstrip": 8},
    ],
)
def test_other_tiffs_go_the_general_way(options: dict[str, object]) -> None:
    buffer = BytesIO()
    pixels = picture(3)
    planes = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(buffer, planes, photometric="rgb", metadata=None, **options)
    np.testing.assert_array_equal(decode(buffer.getvalue()), pixels)


def test_files_that_begin_alike_are_told_apart() -> None:
    """The layout of the last file is taken for the next one only where nothing differs."""
    first, second = encoded("TIFF"), bytearray(encoded("TIFF"))
    second[-4:] = b"\1\2\3\4"
    for data in (first, bytes(second), first):
        np.testing.assert_array_equal(decode(data), np.asarray(Image.open(BytesIO(data))))
    with pytest.raises(PatchProblem, match="cut short"):
        decode(first[:-1])
    for size in ((64, 96), (96, 64)):
        pixels = np.arange(96 * 64 * 3, dtype=np.uint8).reshape(*size, 3)
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "TIFF")
        np.testing.assert_array_equal(decode(buffer.getvalue()), pixels)


def test_threads_do_not_disturb_each_other() -> None:
    """Files of two shapes decoded side by side; the layout of the last one is shared."""
    shapes = [(16, 96), (96, 16), (32, 32)]
    pictures = [
        np.random.default_rng(i).integers(0, 256, (*s, 3), np.uint8) for i, s in enumerate(shapes)
    ]
    files = []
    for pixels in pictures:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "TIFF")
        files.append(buffer.getvalue())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            right = list(
                pool.map(
                    lambda i: np.array_equal(decode(files[i % 3]), pictures[i % 3]), range(30_000)
                )
            )
    finally:
        sys.setswitchinterval(interval)
    assert all(right)


def test_a_directory_that_runs_past_the_end_is_told() -> None:
    data = encoded("TIFF")
    many = data[:8] + (200).to_bytes(2, "little") + data[10:400]
    with pytest.raises(PatchProblem, match="cut short in its header"):
        decode(many)


def test_opaque_alpha_is_dropped() -> None:
    buffer = BytesIO()
    Image.fromarray(picture(4)).convert("RGBA").save(buffer, "PNG")
    np.testing.assert_array_equal(decode(buffer.getvalue()), picture(4))


def test_every_damage_has_its_reason(tmp_path: Path) -> None:
    for name, words in damaged(tmp_path).items():
        if name == "large.tif":  # the set decides about the size
            continue
        with pytest.raises(PatchProblem, match=words):
            read_patch(tmp_path / name)
    with pytest.raises(PatchProblem, match="unreadable: No such file"):
        read_patch(tmp_path / "none.tif")


def test_a_bomb_is_refused_unopened() -> None:
    size = 60_000
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT" + b"\0" * 4
    with pytest.raises(PatchProblem):
        decode(data)


@settings(max_examples=150, deadline=None)
@example(38, b"\0", "TIFF")  # a field of no values
@given(
    st.integers(0, 60), st.binary(min_size=1, max_size=30), st.sampled_from(["TIFF", "PNG", "JPEG"])
)
def test_no_bytes_raise_anything_else(at: int, noise: bytes, form: str) -> None:
    data = bytearray(encoded(form))
    data[at : at + len(noise)] = noise
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            patch = decode(bytes(data))
        except PatchProblem:
            return
    assert patch.dtype == np.uint8
    assert patch.shape[2:] == (3,)


def test_a_png_of_16_bits_is_not_cut_to_8() -> None:
    for channels, kind in ((3, 2), (1, 0)):
        size = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
        rows = b"".join(b"\0" + bytes(8 * channels) for _ in range(4))
        data = b"\x89PNG\r\n\x1a\n"
        for name, content in ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            data += struct.pack(">I", len(content)) + name + content
            data += struct.pack(">I", zlib.crc32(name + content))
        with Image.open(BytesIO(data)) as image:
            assert image.size == (4, 4)
        with pytest.raises(PatchProblem, match="16 bits a channel, expected 8-bit RGB"):
            decode(data)
