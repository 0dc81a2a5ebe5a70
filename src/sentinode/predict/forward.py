"""The forward pass of PyTorch over many patches; validation during training takes the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sentinode.errors import InputError
from sentinode.types import Preprocess

if TYPE_CHECKING:
    from torch import Tensor

    from sentinode.models import Compute, Network

__all__ = ["forward"]


def forward(
    network: Network,
    batches: Iterable[Tensor],
    preprocess: Preprocess,
    compute: Compute,
    done: Callable[[int], None] = lambda n: None,
) -> NDArray[np.float32]:
    """Return the logits of all patches, in their order.

    Args:
        network: On ``compute.device``, in channels-last order; left in evaluation mode.
        batches: uint8 tensors (B, H, W, 3), RGB.
        preprocess: Of the network.
        compute: Device and precision.
        done: Called with the size of each batch once it is finished.

    Returns:
        float32 (N,), log odds of tumour.

    Raises:
        InputError: A batch does not fit in memory.
    """
    import torch  # here, so that this package opens without it

    from sentinode.data.loader import to_input
    from sentinode.models import out_of_memory

    network.eval()
    logits: list[float] = []  # no tensors: small pieces that stay have the heap grow around them
    with torch.inference_mode(), compute.autocast():
        for batch in batches:
            try:
                patches = to_input(batch.to(compute.device), preprocess)
                logits += network(patches).float().tolist()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                raise InputError(
                    f"a batch of {len(batch)} patches does not fit in memory; "
                    "take a smaller one: --set predict.batch_size=..."
                ) from error
            done(len(batch))
    return np.array(logits, np.float32)
