"""sRGB to CIE Lab under D65 and back, through tables where a power would be slow."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

__all__ = ["from_lab", "to_lab"]

FINE = 65536  # entries of the tables over 0..1
_TO_XYZ = np.array(  # IEC 61966-2-1
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def to_lab(planes: Any) -> Any:
    """Return Lab of uint8 (N, 3, P) RGB: float32 (N, 3, P), L in 0..100, a and b about 0."""
    xp = array_namespace(planes)
    linear = _look_up(_linear_of_byte(), planes)
    matrix = xp.asarray((_TO_XYZ / _WHITE[:, None]).astype(np.float32), device=device(planes))
    ratio = xp.clip(matrix @ linear, 0, 1)
    root = _look_up(_lab_curve(), ratio * (FINE - 1) + 0.5)
    mix = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float32)
    shift = np.array([[-16], [0], [0]], np.float32)
    return xp.asarray(mix, device=device(planes)) @ root + xp.asarray(shift, device=device(planes))


def from_lab(lab: Any) -> Any:
    """Return uint8 (N, 3, P) RGB of Lab (N, 3, P), clipped to what sRGB can show."""
    xp = array_namespace(lab)
    mix = np.array([[1 / 116, 1 / 500, 0], [1 / 116, 0, 0], [1 / 116, 0, -1 / 200]], np.float32)
    root = xp.asarray(mix, device=device(lab)) @ lab + 16 / 116
    ratio = xp.where(root > 0.2068966, root * root * root, (root - 16 / 116) / 7.787)
    back = xp.asarray((np.linalg.inv(_TO_XYZ) * _WHITE).astype(np.float32), device=device(lab))
    linear = xp.clip(back @ ratio, 0, 1)
    return _look_up(_byte_of_linear(), linear * (FINE - 1) + 0.5)


def _look_up(table: np.ndarray, index: Any) -> Any:
    if is_numpy_array(index):
        return table.take(index.astype(np.intp), mode="clip")
    xp = array_namespace(index)
    return xp.asarray(table, device=device(index))[xp.astype(index, xp.int64)]


@cache
def _linear_of_byte() -> np.ndarray:
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return linear.astype(np.float32)


@cache
def _lab_curve() -> np.ndarray:
    ratio = np.linspace(0, 1, FINE)
    curve = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return curve.astype(np.float32)


@cache
def _byte_of_linear() -> np.ndarray:
    linear = np.linspace(0, 1, FINE)
    value = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.round(255 * value).astype(np.uint8)
