"""Watching what the layers of a network give, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from sentinode.core import unknown_name
from sentinode.errors import InputError
from sentinode.models import Network

__all__ = ["outputs_of"]


@contextmanager
def outputs_of(network: Network, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Hold what layers give in the forward passes of the block; the hooks end with it.

    Raises:
        InputError: There is no such layer; the message names the nearest.
    """
    known = {name: module for name, module in network.named_modules() if name}
    held: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in names:
            if name not in known:
                raise InputError(unknown_name("layer", name, known))
            handle = known[name].register_forward_hook(_holding(held, name))
            stack.callback(handle.remove)
        yield held


def _holding(held: dict[str, Tensor], name: str) -> Any:
    def hold(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            held[name] = output

    return hold
