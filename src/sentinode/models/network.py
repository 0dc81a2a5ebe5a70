"""What every network of this package is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["Network"]


class Network(nn.Module, ABC):
    """A network that takes preprocessed patches and gives one logit each.

    Building one allocates its tensors and draws nothing; :meth:`initialise` draws its weights.
    """

    @abstractmethod
    def forward(self, patches: Tensor) -> Tensor:
        """Return the logits of tumour.

        Args:
            patches: float (N, C, H, W), as ``Preprocess`` defines them.

        Returns:
            Float (N,), the log odds; the sigmoid of it is the probability.
        """

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew from ``generator`` and from nothing else."""
