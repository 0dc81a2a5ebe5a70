"""A model is data plus a builder: what is stored of a network beside its weights."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sentinode.errors import InputError, SentinodeError
from sentinode.models.network import Network
from sentinode.types import Preprocess

__all__ = ["ModelSpec", "build", "new_network"]

_BUILDER = re.compile(r"(sentinode\.models\.[a-z0-9_.]+):(build_[a-z0-9_]+)")


class ModelSpec(BaseModel):
    """What makes a network, so that its weights can be loaded years later.

    Attributes:
        format: Version of this description.
        name: Short name, as in "baseline-colour".
        builder: ``module:function`` below ``sentinode.models``, the function's name starting
            with ``build_``; called as ``function(preprocess, **args)``.
        args: Arguments of the builder, plain JSON.
        preprocess: What happens to a patch before the network sees it.
        explain_layer: Dotted name of the module whose output maps are drawn from, unless told:
            the last convolution, its activation included.
        dense_exact: Whether the network run over a larger region gives, at every position,
            exactly what it gives the patch alone; false where it pads with zeros.
        licence: SPDX name of the weights' licence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    builder: str
    args: dict[str, JsonValue]
    preprocess: Preprocess
    explain_layer: str
    dense_exact: bool
    licence: str


def build(spec: ModelSpec, device: str = "cpu") -> Network:
    """Build the network of a spec, its weights undefined.

    Args:
        spec: What to build.
        device: Where its tensors lie; ``meta`` gives shapes without memory.

    Raises:
        InputError: The builder is not one of this package, or does not take the arguments; their
            values are judged where the device is ``meta``.
    """
    builder = _builder_of(spec)
    with torch.device(device):
        try:
            network = builder(spec.preprocess, **spec.args)
        except SentinodeError:
            raise
        except (TypeError, KeyError, AttributeError, ValueError, RuntimeError) as error:
            if device != "meta" and not isinstance(error, TypeError):
                raise  # without memory it was built, so this is no fault of the arguments
            said = f"no {error}" if isinstance(error, KeyError) else error
            raise InputError(f"model {spec.name!r}: {spec.builder}: {said}") from error
    known = dict(network.named_modules())
    if spec.explain_layer not in known:
        raise InputError(f"model {spec.name!r} has no layer {spec.explain_layer!r} to explain")
    return network


def new_network(spec: ModelSpec, seed: int) -> Network:
    """Build the network of a spec with weights drawn from ``seed`` alone; errors as `build`."""
    network = build(spec)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def _builder_of(spec: ModelSpec) -> Callable[..., Network]:
    # A spec may come from a stranger's run folder, so that it may name nothing but a builder.
    found = _BUILDER.fullmatch(spec.builder)
    if not found:
        raise InputError(
            f"model {spec.name!r}: builder {spec.builder!r} is refused, expected "
            "'sentinode.models.MODULE:build_NAME'"
        )
    try:
        builder: Any = getattr(importlib.import_module(found[1]), found[2])
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"model {spec.name!r}: this version has no builder {spec.builder!r} ({error})"
        ) from error
    return builder  # type: ignore[no-any-return]
