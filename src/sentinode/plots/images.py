"""Patches as images that stand inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from PIL import Image

from sentinode.types import UInt8Array

__all__ = ["patch_uris"]

BUDGET = 9_000_000
SIDE_AND_QUALITY = ((192, 92), (96, 92), (96, 75), (96, 50))


def patch_uris(patches: Iterable[UInt8Array], budget: int = BUDGET) -> list[str]:
    """Return patches as JPEG data URIs that together stay within a number of bytes.

    They are reduced, first in size and then in quality, only where they would not.

    Args:
        patches: uint8 (H, W, 3) each, RGB; sides above 192 px are always reduced to that.
        budget: Characters that all URIs together may have.
    """
    kept = list(patches)
    uris: list[str] = []
    for side, quality in SIDE_AND_QUALITY:
        uris = [_uri(patch, side, quality) for patch in kept]
        if sum(map(len, uris)) <= budget:
            break
    return uris


def _uri(patch: UInt8Array, side: int, quality: int) -> str:
    image = Image.fromarray(patch)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
