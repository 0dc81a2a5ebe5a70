"""What a network said of the patches of an epoch before it learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.train.ranks import Ranks

__all__ = ["Seen"]

PATCHES_SHOWN = 4096


@final
class Seen:
    """The logits of this process's share of an epoch, so far.

    Kept in one piece: small ones that stay, between large ones that come and go, would have the
    heap grow with every batch.

    Args:
        ranks: The processes.
        sizes: Sizes of the epoch's batches.
        labels: float32 (N,), of all its patches, in its order.
        before: float (M,), what was said of the first ones before an interruption.
    """

    def __init__(
        self, ranks: Ranks, sizes: Sequence[int], labels: NDArray[np.float32], before: Tensor
    ) -> None:
        places = ranks.places(sizes)
        self._labels = labels[places]
        self._count = int(np.searchsorted(places, len(before)))
        self.logits = torch.empty(len(places), device=before.device)
        self.logits[: self._count] = before[torch.from_numpy(places[: self._count])]

    def add(self, logits: Tensor) -> None:
        """Add those of the next batch's share."""
        self.logits[self._count : self._count + len(logits)] = logits
        self._count += len(logits)

    def lately(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits and labels of the latest patches."""
        latest = slice(max(0, self._count - PATCHES_SHOWN), self._count)
        return self.logits[latest].cpu().numpy(), self._labels[latest]
