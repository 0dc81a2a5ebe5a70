"""What the history says of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.metrics import roc_auc

__all__ = ["Scores", "score"]


@final
@dataclass(frozen=True)
class Scores:
    """Scores of labelled patches.

    Attributes:
        loss: Mean binary cross-entropy in nats.
        accuracy: Share of patches on the right side of probability 0.5.
        auc: Area under the ROC curve; NaN where only one class is there.
    """

    loss: float
    accuracy: float
    auc: float


def score(logits: NDArray[Any], labels: NDArray[Any]) -> Scores:
    """Score finite logits (N,) against labels (N,) that are 0 or 1; N is at least 1."""
    z, y = logits.astype(np.float64), labels.astype(np.float64)
    # -log(sigmoid(z)) = log(1 + exp(-z)), without overflow
    loss = float(np.mean(np.logaddexp(0.0, z) - y * z))
    accuracy = float(np.mean((z >= 0) == (y == 1)))
    auc = roc_auc(y, np.exp(-np.logaddexp(0.0, -z))) if 0 < y.sum() < len(y) else float("nan")
    return Scores(loss, accuracy, auc)
