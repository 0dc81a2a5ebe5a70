"""A share of a batch computed as part of the whole: batch statistics and dropout."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.distributed import all_gather, all_reduce, get_world_size, is_initialized
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["WholeBatch"]


@final
class WholeBatch(TorchFunctionMode):
    """While it lasts, batch normalisation and dropout take the batch of all processes together.

    Whatever module calls them: PyTorch's own or another one. Where there is a single value a
    channel, which PyTorch refuses, it is normalised to zero, as Keras does.

    Args:
        n: Patches in the whole batch.
        share: Which of them are this process's.
    """

    def __init__(self, n: int, share: slice) -> None:
        super().__init__()
        self._n, self._share = n, share

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the two functions, let all others through."""
        kwargs = kwargs or {}
        if func is functional.batch_norm:
            return _batch_norm(self._n, *args, **kwargs)
        if func is functional.dropout:
            return self._dropout(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(
        self, values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or not p:
            return values
        # Drawn for ones in the form and memory order of the whole, as one process would.
        like = torch.channels_last if _channels_last(values) else torch.contiguous_format
        shape = (self._n, *values.shape[1:])
        ones = torch.ones(shape, dtype=values.dtype, device=values.device)
        drawn = functional.dropout(ones.contiguous(memory_format=like), p)[self._share]
        return values.mul_(drawn) if inplace else values * drawn


def _batch_norm(
    n: int,
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return functional.batch_norm(values, running_mean, running_var, weight, bias, eps=eps)
    normed, mean, variance = _SharedNorm.apply(values, weight, bias, eps)  # type: ignore[no-untyped-call]
    several = n * values.shape[2:].numel() > 1
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean, momentum)
        if running_var is not None and several:
            running_var.lerp_(variance, momentum)
    return normed  # type: ignore[no-any-return]


@final
class _SharedNorm(torch.autograd.Function):
    """Batch normalisation by statistics over all processes (Ioffe and Szegedy, ICML 2015).

    The means and sums of squares of the processes are put together as by Chan et al. (1979). An
    empty share is allowed. Gives the normalised values, mean and unbiased variance.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1]
        wide = values.float()
        mean = wide.sum(axes) / max(count, 1)
        squares = (wide - _along(mean, wide)).square().sum(axes)
        own = torch.stack([torch.full_like(mean, count), mean, squares]).double()
        everyones = [own]
        if is_initialized():
            everyones = [torch.empty_like(own) for _ in range(get_world_size())]
            all_gather(everyones, own)
        counts, means, sums = torch.stack(everyones).unbind(1)
        total = counts.sum(0)
        whole_mean = (counts * means).sum(0) / total
        spread = (sums + counts * (means - whole_mean).square()).sum(0)
        scale = torch.rsqrt(spread / total + epsilon).float()
        ctx.save_for_backward(values, weight, bias, whole_mean.float(), scale, total)
        normed = (wide - _along(whole_mean.float(), wide)) * _along(scale, wide)
        if weight is not None:
            normed = normed * _along(weight, wide)
        if bias is not None:
            normed = normed + _along(bias, wide)
        variance = (spread / (total - 1).clamp(min=1)).float()
        whole_mean = whole_mean.float()
        ctx.mark_non_differentiable(whole_mean, variance)
        return normed.to(values.dtype), whole_mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, bias, mean, scale, total = ctx.saved_tensors
        wide = gradients[0].float()
        axes = [axis for axis in range(wide.ndim) if axis != 1]
        normed = (values.float() - _along(mean, wide)) * _along(scale, wide)
        own = torch.stack([wide.sum(axes), (wide * normed).sum(axes)])
        whole = own.double()
        if is_initialized():
            all_reduce(whole)
        by_mean, by_spread = (whole / total).float().unbind(0)
        back = wide - _along(by_mean, wide) - normed * _along(by_spread, wide)
        back = back * _along(scale if weight is None else scale * weight, wide)
        return (
            back.to(values.dtype),
            None if weight is None else own[1],
            None if bias is None else own[0],
            None,
        )


def _along(each: Tensor, values: Tensor) -> Tensor:
    """Give one value a channel the axes of ``values``."""
    return each.view(1, -1, *[1] * (values.ndim - 2))


def _channels_last(values: Tensor) -> bool:
    return values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
