"""What every network of this package is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["DenseNetwork", "Network"]


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


class DenseNetwork(Network):
    """A network without padding, which computes a large region at once.

    Attributes:
        stride: Pixels between neighbouring positions at least.
    """

    stride: int

    @abstractmethod
    def dense(self, region: Tensor, stride: int | None = None) -> Tensor:
        """Return the logits of all patches of a region whose corners lie on a grid.

        Args:
            region: float (N, C, H, W), preprocessed, at least as large as a patch.
            stride: Pixels between neighbouring positions, a multiple of the network's own, which
                it is by default.

        Returns:
            Float (N, (H - size) // stride + 1, (W - size) // stride + 1): at (i, j) the logit of
            the patch whose upper left corner lies at (stride i, stride j) px.
        """
