"""What is lowered, and what lowers it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sentinode.config import TrainConfig
from sentinode.models import Network

__all__ = ["class_weights", "learning", "make_optimizer", "objective"]


def learning(network: Network) -> list[torch.nn.Parameter]:
    """Return the weights that training changes; those of a frozen encoder are none."""
    return [p for p in network.parameters() if p.requires_grad]


def make_optimizer(network: Network, settings: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser; weight decay spares what has one axis, biases and norms."""
    parameters = learning(network)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate, betas = settings.learning_rate, (0.9, settings.beta2)
    match settings.optimizer:
        case "adam":  # Keras's, whose epsilon is larger than PyTorch's
            return torch.optim.Adam(groups, rate, betas, eps=1e-7, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, rate, betas, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True, fused=True)


def class_weights(settings: TrainConfig, labels: Tensor) -> tuple[float, float]:
    """Return what a patch of label 0 and one of label 1 count; their mean over ``labels`` is 1."""
    if settings.class_weights == "equal":
        return 1.0, 1.0
    positive = float(labels.double().mean())
    return 0.5 / (1 - positive), 0.5 / positive


def objective(
    logits: Tensor,
    targets: Tensor,
    settings: TrainConfig,
    weights: tuple[float, float],
    of: float | None = None,
) -> Tensor:
    """Return the mean loss of a batch, in nats.

    Args:
        logits: float (B,).
        targets: float (B,), 0..1: labels, or their mixtures.
        settings: Loss, label smoothing and focal gamma.
        weights: As of :func:`class_weights`.
        of: What the sum of the losses is divided by, where that is not their number.

    The focal loss is ``|t - p|^gamma`` times the cross-entropy, which for labels of 0 and 1 is
    that of Lin et al. (ICCV 2017) without its class weight.
    """
    smooth = settings.label_smoothing
    aims = targets * (1 - smooth) + smooth / 2 if smooth else targets
    losses = binary_cross_entropy_with_logits(logits, aims, reduction="none")
    if settings.loss == "focal":
        away = (aims - torch.sigmoid(logits)).abs()
        if settings.focal_gamma < 1:  # whose slope at 0 is infinite
            away = away.clamp_min(torch.finfo(away.dtype).eps)
        losses = losses * away**settings.focal_gamma
    if weights != (1.0, 1.0):
        losses = losses * (weights[0] + targets * (weights[1] - weights[0]))
    return losses.sum() / (len(losses) if of is None else of)
