"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import final

import torch

from sentinode.models import Network

__all__ = ["MovingAverage"]


@final
class MovingAverage:
    """A second network whose tensors follow the first one's, a share of the way a step.

    Statistics of batch normalisation are averaged like weights. The decay begins low,
    ``(1 + steps) / (10 + steps)``, so that the random first weights are soon forgotten.

    Attributes:
        network: The averaged network.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: Network, steps: int) -> None:
        """Follow ``network``, which has taken ``steps`` steps, this one included."""
        share = 1 - min(self._decay, (1 + steps) / (10 + steps))
        ours = list(self.network.state_dict().values())
        theirs = list(network.state_dict().values())
        floating = [i for i, tensor in enumerate(ours) if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[i] for i in floating], [theirs[i] for i in floating], share)
        for own, other in zip(ours, theirs, strict=True):
            if not own.is_floating_point():
                own.copy_(other)
