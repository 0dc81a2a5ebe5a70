"""Convolutions that share their weights over the eight orientations of the square (p4m).

Cohen and Welling (ICML 2016) for the convolutions; Veeling et al. (MICCAI 2018) for their use on
lymph nodes. Features carry an axis of eight orientations, innermost among the channels: channel
``8 * c + g`` is feature ``c`` seen under orientation ``g``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

__all__ = ["ORIENTATIONS", "Abreast", "LiftingConv", "OrbitConv", "OrbitNorm", "turned"]

ORIENTATIONS = 8


def turned(values: Tensor, orientation: int) -> Tensor:
    """Turn the last two axes: flipped for 4..7, then turned by 90° ``orientation % 4`` times."""
    flipped = values.flip(-1) if orientation >= 4 else values
    return torch.rot90(flipped, orientation % 4, (-2, -1))


def _products() -> list[list[int]]:
    """Return the group's table: ``table[g][h]`` is what turning by ``h`` and then by ``g`` is."""
    marks = torch.arange(9, device="cpu").view(3, 3)
    named = {tuple(turned(marks, g).flatten().tolist()): g for g in range(ORIENTATIONS)}
    return [
        [named[tuple(turned(turned(marks, h), g).flatten().tolist())] for h in range(ORIENTATIONS)]
        for g in range(ORIENTATIONS)
    ]


_TABLE = _products()
_INVERSE = [row.index(0) for row in _TABLE]
# Which orientation of the input a kernel for output orientation g meets at each place.
_MET = [[_TABLE[_INVERSE[g]][h] for h in range(ORIENTATIONS)] for g in range(ORIENTATIONS)]


class _SharedConv(nn.Module):
    """Common part of the two convolutions: valid, without a bias, which the norm behind has."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.stride = stride

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights by He et al. (2015)."""
        std = math.sqrt(2 / self.weight[0].numel())
        with torch.no_grad():
            self.weight.normal_(0, std, generator=generator)

    def kernels(self) -> Tensor:
        """Return the kernels of an ordinary convolution that does the same."""
        raise NotImplementedError

    def forward(self, values: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        kernels = self.kernels().contiguous(memory_format=torch.channels_last)
        return conv2d(values, kernels, stride=self.stride)


@final
class LiftingConv(_SharedConv):
    """From an image to features under eight orientations."""

    def __init__(self, inputs: int, features: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, features, kernel, stride)

    def kernels(self) -> Tensor:
        """Return float (8 * features, inputs, k, k)."""
        copies = [turned(self.weight, g) for g in range(ORIENTATIONS)]
        return torch.stack(copies, 1).flatten(0, 1)


@final
class OrbitConv(_SharedConv):
    """From features under eight orientations to others."""

    def __init__(self, inputs: int, features: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs * ORIENTATIONS, features, kernel, stride)

    def kernels(self) -> Tensor:
        """Return float (8 * features, 8 * inputs, k, k)."""
        features, width, kernel, _ = self.weight.shape
        # Taken apart and stacked: the gradient of an index by a list is slow where it must be
        # deterministic.
        own = self.weight.reshape(features, -1, ORIENTATIONS, kernel, kernel).unbind(2)
        copies = [turned(torch.stack([own[h] for h in met], 2), g) for g, met in enumerate(_MET)]
        return torch.stack(copies, 1).reshape(features * ORIENTATIONS, width, kernel, kernel)


@final
class Abreast(nn.ModuleList):
    """Convolutions side by side, each from its own share of the features to its own.

    Args:
        convs: In the order of their shares.
    """

    def __init__(self, convs: Sequence[OrbitConv]) -> None:
        super().__init__(convs)
        self.shares = [conv.weight.shape[1] for conv in convs]

    def forward(self, values: Tensor) -> Tensor:
        """Convolve (N, C, H, W), C the sum of the shares."""
        return self.apart(values, lambda conv, share: conv(share))

    def apart(self, values: Tensor, convolve: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Return what ``convolve`` makes of each convolution and its share, side by side."""
        shares = torch.split(values, self.shares, 1)
        each = [convolve(conv, share) for conv, share in zip(self, shares, strict=True)]
        return torch.cat(each, 1)


@final
class OrbitNorm(nn.Module):
    """Batch normalisation, outside training the same for all orientations of a feature.

    Args:
        features: Number of features.
        momentum: Share of the newest batch in the moving statistics.
        epsilon: Added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float = 0.05, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.empty(features))
        self.bias = nn.Parameter(torch.empty(features))
        self.register_buffer("running_mean", torch.empty(features))
        self.register_buffer("running_var", torch.empty(features))

    def initialise(self) -> None:
        """Let everything pass through."""
        with torch.no_grad():
            for tensor, value in zip(
                (self.weight, self.bias, self.running_mean, self.running_var),
                (1.0, 0.0, 0.0, 1.0),
                strict=True,
            ):
                tensor.fill_(value)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise (N, 8 * features, H, W)."""
        if self.training:
            return self._by_batch(values)
        gain = self.weight * torch.rsqrt(self.running_var + self.epsilon)
        shift = self.bias - self.running_mean * gain
        each = [v.repeat_interleave(ORIENTATIONS).view(1, -1, 1, 1) for v in (gain, shift)]
        scale, offset = (v.to(values.dtype) for v in each)
        return values * scale + offset

    def _by_batch(self, values: Tensor) -> Tensor:
        """Normalise by each channel's own statistics; pooled ones follow slowly.

        Over many patches the orientations of a feature have equal statistics. Within a batch
        they differ a little, but PyTorch's own batch normalisation is much the fastest.
        """
        weight, bias = (v.repeat_interleave(ORIENTATIONS) for v in (self.weight, self.bias))
        mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
        # With a momentum of 1 the "moving" statistics are the batch's.
        normed = batch_norm(values, mean, variance, weight, bias, True, 1.0, self.epsilon)
        with torch.no_grad():
            means, variances = mean.view(-1, ORIENTATIONS), variance.view(-1, ORIENTATIONS)
            pooled = means.mean(1)
            spread = (variances + means.square()).mean(1) - pooled.square()
            self.running_mean.lerp_(pooled, self.momentum)
            self.running_var.lerp_(spread, self.momentum)
        return normed
