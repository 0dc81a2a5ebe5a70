"""A network for inference alone: kernels put together once, batch normalisation folded away."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sentinode.models.network import Network
from sentinode.models.nodenet import Residual
from sentinode.models.orbit import ORIENTATIONS, Abreast, LiftingConv, OrbitConv, OrbitNorm

__all__ = ["folded"]


def folded(network: Network) -> Network:
    """Return a copy that gives the same logits with less work, up to rounding.

    Convolutions shared over orientations become ordinary ones, so that their kernels are not put
    together again for every batch, and a batch normalisation right behind a convolution becomes
    part of it. One that stands behind an activation and before a padded convolution has to stay:
    the padding's zeros come after it.

    Args:
        network: In evaluation mode; it stays as it is. The copy cannot be trained.
    """
    made = copy.deepcopy(network).eval().requires_grad_(False)
    _plain(made)
    _fuse(made)
    return made


def _plain(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, LiftingConv | OrbitConv):
            setattr(module, name, _convolution(child))
        elif isinstance(child, OrbitNorm):
            setattr(module, name, _normalisation(child))
        else:
            _plain(child)


def _convolution(shared: LiftingConv | OrbitConv) -> nn.Conv2d:
    kernels = shared.kernels().detach().clone()
    outputs, inputs, side, _ = kernels.shape
    plain = nn.Conv2d(inputs, outputs, side, stride=shared.stride, bias=False, device="meta")
    plain.weight = nn.Parameter(kernels, requires_grad=False)
    return plain.eval()


def _normalisation(shared: OrbitNorm) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(len(shared.weight) * ORIENTATIONS, eps=shared.epsilon)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            values = getattr(shared, name).repeat_interleave(ORIENTATIONS)
            getattr(plain, name).copy_(values)
    return plain.to(shared.weight.device).eval().requires_grad_(False)


def _fuse(module: nn.Module) -> None:
    # elsewhere the order of the children need not be the order in which they are called
    in_order = isinstance(module, nn.Sequential | Residual)
    children = list(module.named_children()) if in_order else []
    for (name, one), (after, other) in itertools.pairwise(children):
        # of these very types: one made of them may do more, as a norm with its activation
        if type(one) is nn.Conv2d and type(other) is nn.BatchNorm2d:
            setattr(module, name, fuse_conv_bn_eval(one, other))
            setattr(module, after, nn.Identity())
        elif type(one) is Abreast and type(other) is nn.BatchNorm2d:
            _fuse_shares(one, other)
            setattr(module, after, nn.Identity())
    for child in module.children():
        _fuse(child)


def _fuse_shares(convs: Abreast, norm: nn.BatchNorm2d) -> None:
    """Fold into each convolution its share of the normalisation behind them."""
    first = 0
    for n, conv in enumerate(convs):
        assert isinstance(conv, nn.Conv2d)
        share = nn.BatchNorm2d(conv.out_channels, eps=norm.eps, device=conv.weight.device).eval()
        with torch.no_grad():
            for name in ("weight", "bias", "running_mean", "running_var"):
                values: torch.Tensor = getattr(norm, name)
                getattr(share, name).copy_(values[first : first + conv.out_channels])
        convs[n] = fuse_conv_bn_eval(conv, share)
        first += conv.out_channels
