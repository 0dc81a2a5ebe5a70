"""A model folder for WSInfer and for QuPath's WSInfer extension.

Both give a TorchScript module float RGB in 0..1 and put a softmax on what comes back. Of two
outputs 0 and z the softmax's second is the sigmoid of z, so that z is the logit after calibration.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from sentinode.core import hash_json
from sentinode.export.graph import Whole
from sentinode.models import ModelSpec
from sentinode.tables import Calibration

__all__ = ["CLASSES", "CONFIG_FILE", "MODEL_FILE", "ForWsinfer", "wsinfer_config"]

CONFIG_FILE, MODEL_FILE = "config.json", "torchscript_model.pt"
CLASSES = ("Other", "Tumor")
"""QuPath's own names; WSInfer makes columns ``prob_Other`` and ``prob_Tumor`` of them."""
SURE = 1e-7  # a probability of 0 or 1 has no logit


@final
class ForWsinfer(nn.Module):
    """A network that takes what WSInfer gives and returns what its softmax wants."""

    def __init__(self, module: Whole, calibration: Calibration | None) -> None:
        super().__init__()
        self.module = module
        self.slope = calibration.slope if calibration else 1.0
        self.intercept = calibration.intercept if calibration else 0.0
        knots = calibration.knots if calibration else ()
        self.stairs = bool(knots)
        self.register_buffer("at", torch.tensor([k[0] for k in knots], dtype=torch.float64))
        self.register_buffer("height", torch.tensor([k[1] for k in knots], dtype=torch.float64))

    def forward(self, patches: Tensor) -> Tensor:
        """Take float (N, 3, H, W) in 0..1, RGB, to float (N, 2): 0 and the calibrated logit."""
        logits = self.module((patches * 255).round().permute(0, 2, 3, 1))
        if self.stairs:
            logits = torch.logit(self._climb(logits), SURE).float()
        else:
            logits = self.slope * logits + self.intercept
        return torch.stack([torch.zeros_like(logits), logits], 1)

    def _climb(self, logits: Tensor) -> Tensor:
        """Interpolate between the knots of an isotonic calibration."""
        at, height = self.get_buffer("at"), self.get_buffer("height")
        if len(at) == 1:
            return torch.zeros_like(logits) + height[0]
        z = logits.double().clamp(at[0], at[-1])
        right = torch.searchsorted(at, z).clamp(1, len(at) - 1)
        share = (z - at[right - 1]) / (at[right] - at[right - 1])
        return height[right - 1] + share * (height[right] - height[right - 1])


def wsinfer_config(spec: ModelSpec) -> dict[str, Any]:
    """Return ``config.json`` as the WSInfer Model Zoo defines it, version 1.0.

    Normalisation is inside the model, so that the transforms end with ToTensor.
    """
    size = spec.preprocess.size
    return {
        "spec_version": "1.0",
        "name": f"sentinode-{spec.name}",
        "architecture": f"sentinode-{spec.name}-{hash_json({'args': spec.args})[:8]}",
        "num_classes": len(CLASSES),
        "class_names": list(CLASSES),
        "patch_size_pixels": size,
        "spacing_um_px": spec.preprocess.mpp,
        "transform": [
            {"name": "Resize", "arguments": {"size": size}},
            {"name": "ToTensor"},
        ],
    }
