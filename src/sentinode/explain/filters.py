"""The kernels of every convolution of a network, as numbers to be drawn."""

from __future__ import annotations

from torch import Tensor, nn

from sentinode.models import Network

__all__ = ["kernels_of"]


def kernels_of(network: Network) -> dict[str, Tensor]:
    """Return the kernels of each convolution by its layer's name: (outputs, inputs, k, k).

    Of a convolution that shares its kernels over the orientations, each is given once.
    """
    found = {}
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        shared = hasattr(module, "kernels")
        if (
            isinstance(weight, Tensor)
            and weight.ndim == 4
            and (isinstance(module, nn.Conv2d) or shared)
        ):
            found[name] = weight.detach().cpu()
    return found
