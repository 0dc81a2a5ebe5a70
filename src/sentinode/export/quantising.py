"""int8 by NNCF: post-training quantisation with ranges measured on training patches."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import numpy as np

from sentinode.predict import INPUT, openvino
from sentinode.types import UInt8Array

__all__ = ["quantised"]


def quantised(model: Any, patches: UInt8Array) -> Any:
    """Return an int8 model.

    Weights are quantised per channel, to half of int8's range, and activations per tensor; what
    NNCF does not quantise stays in float32. Processors that have no instruction for sums of int8
    products (x86 without VNNI) add pairs of them in 16 bits, which weights of the whole range
    overflow: the same model would then say other things than where it was checked.

    Args:
        model: ONNX model, or OpenVINO's own; the result is of the same kind.
        patches: uint8 (N, H, W, 3), RGB, training patches that the ranges are measured on.
    """
    ov = openvino()  # before NNCF, which then keeps silent, too
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.ERROR)
        one_by_one = [np.ascontiguousarray(patch[None]) for patch in patches]
        given: list[Any] = one_by_one
        if not isinstance(model, ov.Model):
            given = [{INPUT: patch} for patch in one_by_one]
        half = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
        data = nncf.Dataset(given)
        return nncf.quantize(model, data, subset_size=len(given), advanced_parameters=half)
