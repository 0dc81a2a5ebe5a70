"""The learning rate, from nothing but the settings and what the history says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sentinode.config import TrainConfig

__all__ = ["learning_rate", "reductions"]

FACTOR = 0.1
"""What the schedules step and plateau multiply the rate by."""

RISE, START = 0.3, 1 / 25
"""One-cycle's share of rising and its first rate, relative (Smith and Topin, 2019)."""


def learning_rate(
    settings: TrainConfig, epochs_done: float, valid_losses: Sequence[float]
) -> float:
    """Return the learning rate of a step.

    Args:
        settings: Name of the schedule, its largest rate and its lengths.
        epochs_done: Epochs behind the step, with the step itself; above 0.
        valid_losses: Validation loss of each finished epoch.
    """
    largest = settings.learning_rate
    if settings.warmup_epochs and epochs_done <= settings.warmup_epochs:
        return largest * epochs_done / settings.warmup_epochs
    return largest * _share(settings, epochs_done, valid_losses)


def _share(settings: TrainConfig, done: float, valid_losses: Sequence[float]) -> float:
    match settings.schedule:
        case "constant":
            share = 1.0
        case "step":
            share = FACTOR ** ((math.ceil(done) - 1) // settings.step_epochs)
        case "plateau":
            share = FACTOR ** reductions(valid_losses, settings.step_epochs)
        case "cosine":
            left = settings.epochs - settings.warmup_epochs
            share = _falling((done - settings.warmup_epochs) / left if left else 1.0)
        case "one-cycle":
            passed = done / settings.epochs
            if passed < RISE:
                share = 1 - (1 - START) * _falling(passed / RISE)
            else:
                share = _falling((passed - RISE) / (1 - RISE))
    return share


def reductions(losses: Sequence[float], patience: int) -> int:
    """Count how often ``patience`` epochs passed without a lower loss, each counted anew."""
    best, waited, count = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= patience:
            count, waited = count + 1, 0
    return count


def _falling(share: float) -> float:
    """Half a cosine, from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
