"""Patches as images that stand inside a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from sentinode.types import UInt8Array

__all__ = ["patch_uri"]

JPEG_QUALITY = 92
LARGEST_SIDE = 192


def patch_uri(patch: UInt8Array) -> str:
    """Return a patch as a JPEG data URI.

    Args:
        patch: uint8 (H, W, 3), RGB; larger than 192 px it is reduced to that.
    """
    image = Image.fromarray(patch)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
