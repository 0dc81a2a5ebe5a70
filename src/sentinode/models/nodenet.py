"""`nodenet`: a small network for this label and this use.

- *Every orientation counts the same.* Its convolutions share weights over the eight flips and
  rotations (:mod:`sentinode.models.orbit`), so that a patch has one probability however it lies:
  eight times the features for the same weights, and no test-time augmentation.
- *Nothing is padded.* Run over a larger region it gives, at every position, what it gives the
  patch alone; what neighbouring positions share is computed once.
- *The place counts.* All convolutions shrink toward the middle of the patch, and the last one
  sees it whole, so that the place of what is found is not averaged away.

Several of any widths may stand side by side in one network, which gives the sum of their logits
(:func:`sentinode.models.join_runs` makes it their mean).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, final

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from sentinode.errors import InputError
from sentinode.models.network import DenseNetwork
from sentinode.models.orbit import ORIENTATIONS, Abreast, LiftingConv, OrbitConv, OrbitNorm
from sentinode.models.spec import ModelSpec
from sentinode.types import Preprocess

__all__ = ["BUILDER", "STRIDE", "NodeNet", "build_nodenet", "nodenet"]

BUILDER = "sentinode.models.nodenet:build_nodenet"
SIZE = 96
STRIDE = 8
"""Pixels between neighbouring positions of the dense map."""

DEPTHS = (3, 4, 1)
WIDEST = 1024
MEAN, STD = 0.6, 0.25


@final
class _Inner(torch.autograd.Function):
    """Cut the outermost pixels off.

    As a slice does, but the gradient keeps the memory order, so that all that comes before it in
    the network is trained in the faster one.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values[:, :, 1:-1, 1:-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return pad(gradients[0], (1, 1, 1, 1))


@final
class Residual(nn.Module):
    """``x + norm(conv(relu(x)))``, the rim that the convolution eats cut from ``x``."""

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = _conv(features, features, 3)
        self.norm = OrbitNorm(sum(features))

    def forward(self, values: Tensor) -> Tensor:
        """Take (N, C, H, W) to (N, C, H - 2, W - 2)."""
        added: Tensor = self.norm(self.conv(self.relu(values)))
        if not self.training:
            return values[:, :, 1:-1, 1:-1] + added
        inner: Tensor = _Inner.apply(values)  # type: ignore[no-untyped-call]
        return inner + added


@final
class OrbitPool(nn.Module):
    """Mean and maximum over the eight orientations: (N, 8 C, H, W) to (N, 2 C, H, W)."""

    def forward(self, values: Tensor) -> Tensor:
        """Forget which orientation a feature was found under."""
        n, channels, height, width = values.shape
        each = values.reshape(n, channels // ORIENTATIONS, ORIENTATIONS, height, width)
        return torch.cat([each.mean(2), each.amax(2)], 1)


@final
class NodeNet(DenseNetwork):
    """The network; see the module.

    Attributes:
        features: From an image to 8 × features a position.
        head: From these to a logit a position.
        members: Features of the three stages, of each network side by side.
        dropout: As of :func:`build_nodenet`.
    """

    stride = STRIDE

    def __init__(self, channels: int, members: Sequence[Sequence[int]], dropout: float) -> None:
        super().__init__()
        self.members, self.dropout = tuple(tuple(widths) for widths in members), dropout
        first, second, third = zip(*self.members, strict=True)
        layers: list[tuple[str, nn.Module]] = [
            ("lift", LiftingConv(channels, sum(first), 4, stride=2)),  # 96 -> 47 px
            ("norm", OrbitNorm(sum(first))),
            *_residuals("a", first, DEPTHS[0]),  # -> 41
            *_narrowing("b", first, second, 3),  # -> 20
            *_residuals("b", second, DEPTHS[1]),  # -> 12
            *_narrowing("c", second, third, 4),  # -> 5
            *_residuals("c", third, DEPTHS[2]),  # -> 3
            *_narrowing("d", third, third, 3, stride=1),  # -> 1
            ("last", nn.ReLU()),
        ]
        self.features = nn.Sequential(OrderedDict(layers))
        self.head = nn.Sequential(
            OrderedDict(
                pool=OrbitPool(), dropout=nn.Dropout(dropout), logit=nn.Conv2d(2 * sum(third), 1, 1)
            )
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the logits, float (N,), of patches (N, C, 96, 96)."""
        return self.dense(patches).flatten()

    def dense(self, region: Tensor, stride: int | None = None) -> Tensor:
        """As :meth:`DenseNetwork.dense`; a coarser grid spares what only the others need."""
        step = (stride or STRIDE) // STRIDE
        if step == 1:
            features: Tensor = self.features(region)
        else:
            features = region
            for name, layer in self.features.named_children():
                thinned = name == "conv_d"  # from here on positions have nothing in common
                features = _every(layer, features, step) if thinned else layer(features)
        logits: Tensor = self.head(features)
        return logits.squeeze(1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights by He et al. (2015); each residual begins by adding little."""
        for module in self.modules():
            if isinstance(module, LiftingConv | OrbitConv):
                module.initialise(generator)
            elif isinstance(module, OrbitNorm):
                module.initialise()
        logit = self.head.get_submodule("logit")
        assert isinstance(logit, nn.Conv2d)
        nn.init.xavier_uniform_(logit.weight, generator=generator)
        assert logit.bias is not None
        nn.init.zeros_(logit.bias)


def _every(layer: nn.Module, values: Tensor, step: int) -> Tensor:
    """Convolve as ``layer`` does, at every ``step``-th position only."""
    if isinstance(layer, Abreast):
        return layer.apart(values, lambda conv, share: _every(conv, share, step))
    if isinstance(layer, OrbitConv):
        return conv2d(values, layer.kernels(), stride=step)
    assert isinstance(layer, nn.Conv2d)  # what `folded` makes of it
    return conv2d(values, layer.weight, layer.bias, stride=step)


def _conv(
    inputs: Sequence[int], outputs: Sequence[int], kernel: int, stride: int = 1
) -> OrbitConv | Abreast:
    each = [OrbitConv(i, o, kernel, stride) for i, o in zip(inputs, outputs, strict=True)]
    return each[0] if len(each) == 1 else Abreast(each)


def _residuals(stage: str, features: Sequence[int], depth: int) -> list[tuple[str, nn.Module]]:
    return [(f"residual_{stage}{i}", Residual(features)) for i in range(1, depth + 1)]


def _narrowing(
    stage: str, inputs: Sequence[int], outputs: Sequence[int], kernel: int, stride: int = 2
) -> list[tuple[str, nn.Module]]:
    return [
        (f"relu_{stage}", nn.ReLU()),
        (f"conv_{stage}", _conv(inputs, outputs, kernel, stride)),
        (f"norm_{stage}", OrbitNorm(sum(outputs))),
    ]


def build_nodenet(
    preprocess: Preprocess,
    *,
    widths: Sequence[int],
    dropout: float = 0.3,
    beside: Sequence[Sequence[int]] = (),
) -> NodeNet:
    """Build a nodenet.

    Args:
        preprocess: Of patches of 96 px.
        widths: Features of the three stages, each under eight orientations.
        dropout: Share of the pooled features that is zeroed while training.
        beside: Widths of further nodenets beside it, which share nothing with it but the logit, to
            which each adds its part.

    Raises:
        InputError: Another size of patch, widths that are not three whole numbers of 1 to 1024, or
            more features of a stage than that together.
    """
    if preprocess.size != SIZE:
        raise InputError(f"nodenet takes patches of {SIZE} px, got {preprocess.size} px")
    members = [widths, *beside]
    for each in members:
        fits = [isinstance(w, int) and 1 <= w <= WIDEST for w in each]
        if len(fits) != len(DEPTHS) or not all(fits):
            raise InputError(f"nodenet takes three widths of 1 to {WIDEST}, got {list(each)}")
    if max(map(sum, zip(*members, strict=True))) > WIDEST:
        raise InputError(f"nodenets side by side have {WIDEST} features a stage at most")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout lies in 0..1, got {dropout}")
    return NodeNet(preprocess.n_channels, members, dropout)


def nodenet(
    name: str,
    widths: Sequence[int],
    dropout: float = 0.3,
    beside: Sequence[Sequence[int]] = (),
) -> ModelSpec:
    """Describe a nodenet for colour patches.

    Args:
        name: Name of the spec.
        widths: As of :func:`build_nodenet`.
        dropout: As of :func:`build_nodenet`.
        beside: As of :func:`build_nodenet`.
    """
    args: dict[str, JsonValue] = {"widths": list(widths), "dropout": dropout}
    if beside:
        args["beside"] = [list(each) for each in beside]
    return ModelSpec(
        name=name,
        builder=BUILDER,
        args=args,
        preprocess=Preprocess(mean=(MEAN,) * 3, std=(STD,) * 3),
        explain_layer="features.last",
        dense_exact=True,
        licence="Apache-2.0",
    )
