"""Learning without labels, by a contrast between patches, after Chen et al. (SimCLR, ICML 2020).

Two changed pictures of a patch are to have like features, and pictures of other patches unlike
ones.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from sentinode.models.nodenet import NodeNet

__all__ = ["Contrasted", "told_apart"]

HIDDEN, COMPARED = 256, 128


@final
class Contrasted(nn.Module):
    """The pooled features of a nodenet, projected to where they are compared.

    Attributes:
        projection: What the network is without afterwards.

    Args:
        network: Whose features learn; its last layer takes no part.
        seed: Of the projection's weights.
    """

    def __init__(self, network: NodeNet, seed: int) -> None:
        super().__init__()
        self.features, self.pool = network.features, network.head.get_submodule("pool")
        logit = network.head.get_submodule("logit")
        assert isinstance(logit, nn.Conv2d)
        with torch.random.fork_rng([]):  # building it draws, and all is drawn anew below
            self.projection = nn.Sequential(
                nn.Linear(logit.in_channels, HIDDEN),
                nn.BatchNorm1d(HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, COMPARED),
            )
        generator = torch.Generator().manual_seed(seed)
        for layer in self.projection:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """Return float (N, 128) of patches, float (N, C, 96, 96)."""
        projected: Tensor = self.projection(self.pool(self.features(patches)).flatten(1))
        return projected


def told_apart(projected: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the loss of 2 B pictures, the second half of the same patches as the first.

    Args:
        projected: float32 (2 B, F), what is compared, by the angle between them.
        temperature: What their cosines are divided by.

    Returns:
        The mean cross-entropy in nats of finding each picture's other among the 2 B - 1 that it
        is not, and the share found; both float32 ().
    """
    n = len(projected)
    unit = normalize(projected)
    itself = torch.eye(n, dtype=torch.bool, device=projected.device)
    alike = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    other = torch.arange(n, device=projected.device).roll(n // 2)
    found = (alike.detach().argmax(1) == other).float().mean()
    return cross_entropy(alike, other), found
