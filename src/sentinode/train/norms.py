"""Statistics of batch normalisation, measured anew instead of followed.

While a network learns fast, moving statistics are those of weights it no longer has: a momentum
of 0.99, as Keras has it, looks back over hundreds of steps. What it computes while training, by
each batch's own statistics, may then be good, and what it predicts poor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sentinode.data.loader import to_input
from sentinode.models import Compute, Network
from sentinode.models.encoders import EncoderNetwork
from sentinode.types import Preprocess

__all__ = ["norms_of", "renew_norms"]


def norms_of(network: Network) -> list[Any]:
    """Return the normalisations that follow statistics of batches, none of a frozen encoder."""
    frozen = isinstance(network, EncoderNetwork) and network.frozen
    left_alone = set(network.get_submodule("encoder").modules()) if frozen else set()
    return [
        module
        for module in network.modules()
        if module not in left_alone
        and getattr(module, "running_mean", None) is not None
        and hasattr(module, "momentum")
    ]


@torch.no_grad()
def renew_norms(
    network: Network, batches: Iterable[Tensor], preprocess: Preprocess, compute: Compute
) -> int:
    """Make the statistics of every batch normalisation their means over some batches.

    Wu and Johnson (2021), *Rethinking "Batch" in BatchNorm*, section 3.

    Args:
        network: Changed in place, and left in evaluation mode; nothing else of it changes. A
            frozen encoder stays as it is.
        batches: uint8 (B, H, W, 3), patches as the network is to see them in use; one batch at
            least, and none of a single patch.
        preprocess: Of the network.
        compute: Where the network is, and in which precision.

    Returns:
        How many normalisations it has; without any, nothing is computed.
    """
    network.eval()
    norms = norms_of(network)
    if not norms:
        return 0
    kept = [(norm.momentum, _counted(norm)) for norm in norms]
    for norm in norms:
        norm.train()
        norm.running_mean.zero_()  # whatever stood there, be it no number, is forgotten
        norm.running_var.fill_(1)
    try:
        with compute.autocast():
            for number, batch in enumerate(batches, 1):
                for norm in norms:
                    norm.momentum = 1 / number  # the mean of all so far
                network(to_input(batch.to(compute.device), preprocess))
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            if count is not None:
                norm.num_batches_tracked.copy_(count)
        network.eval()
    return len(norms)


def _counted(norm: Any) -> Tensor | None:
    """Return the number of batches that PyTorch's own normalisation has seen."""
    count = getattr(norm, "num_batches_tracked", None)
    return None if count is None else count.clone()
