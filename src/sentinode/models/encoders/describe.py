"""From what was asked for to a spec that says all of an encoder, so that it can be built again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from sentinode.config import ModelConfig
from sentinode.core import first_line
from sentinode.errors import InputError
from sentinode.models.encoders.backbone import make_backbone
from sentinode.models.encoders.known import IMAGENET_MEAN, IMAGENET_STD, Pooling
from sentinode.models.encoders.network import BUILDER
from sentinode.models.encoders.source import CONFIG, PREPROCESSOR, Source, find
from sentinode.models.spec import ModelSpec
from sentinode.types import Preprocess

__all__ = ["encoder_spec"]

STANDARD_SIZE = 224
NOT_ARGUMENTS = ("architectures", "transformers_version", "dtype", "torch_dtype", "model_type")


def encoder_spec(settings: ModelConfig) -> ModelSpec:
    """Describe an encoder with its head.

    Args:
        settings: The section ``model``.

    Raises:
        InputError: No encoder is named, or it cannot be used here.
        MissingInputError: It is not on this machine.
        MissingExtraError: Its library is not installed.
    """
    name = settings.encoder
    if name is None:
        raise InputError(
            "model.name=encoder needs model.encoder; see those known with: sentinode encoders"
        )
    if name.startswith("monai:") and settings.encoder_folder is None:
        if settings.mode != "finetune":
            find(name)  # says what to do
        source = None
    else:
        source = find(name, settings.encoder_folder)
    origin = _origin(name, source, settings)
    size = settings.input_size or _size(source)
    width, has_class = _tried(origin, size)
    known = source.known if source else None
    pooling = settings.pooling
    if pooling == "auto":
        pooling = known.pooling if known else _pooling(source, has_class)
    mean, std = _normalisation(source)
    return ModelSpec(
        name=_plain(name, settings.mode),
        builder=BUILDER,
        args={
            "origin": origin,
            "mode": settings.mode,
            "pooling": pooling,
            "input_size": size,
            "features": width * (2 if pooling == "cls+mean" else 1),
            "hidden": settings.hidden,
            "dropout": settings.dropout,
            "own": settings.mode == "finetune" or settings.keep_encoder,
        },
        preprocess=Preprocess(mean=mean, std=std),
        explain_layer="encoder.maps",
        dense_exact=False,
        licence=known.licence if known else "of the encoder; see where it is published",
    )


def _origin(name: str, source: Source | None, settings: ModelConfig) -> dict[str, Any]:
    config = source.config if source else {}
    known = source.known if source else None
    if name.startswith("monai:"):
        library, architecture, arguments = "monai", name.removeprefix("monai:"), {}
    elif known is not None and known.library == "timm":
        library, architecture, arguments = "timm", known.architecture, dict(known.arguments)
    elif "model_type" in config:
        library, (architecture, config) = "transformers", _looking(config)
        arguments = {
            k: v for k, v in config.items() if k not in NOT_ARGUMENTS and not k.startswith("_")
        }
    elif "architecture" in config:
        library, architecture = "timm", str(config["architecture"])
        arguments = dict(config.get("model_args", {}))
    else:
        raise InputError(f"{name}: config.json names neither a model type nor an architecture")
    return {
        "name": name,
        "folder": str(settings.encoder_folder) if settings.encoder_folder else None,
        "library": library,
        "architecture": architecture,
        "arguments": arguments,
        "weights_sha256": source.weights_hash() if source else None,
    }


def _looking(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return model type and configuration of what looks at images, of two encoders the one."""
    kind, own = str(config["model_type"]), config.get("vision_config")
    if not isinstance(own, dict):
        return kind, config
    return str(own.get("model_type") or f"{kind}_vision_model"), own


def _pooling(source: Source | None, has_class: bool) -> Pooling:
    """Return what an encoder's configuration says, or else the class token where there is one."""
    config = source.config if source else {}
    says_mean = config.get("use_mean_pooling") is True or "avg" in (
        config.get("global_pool"),
        config.get("model_args", {}).get("global_pool"),
    )
    return "cls" if has_class and not says_mean else "mean"


def _size(source: Source | None) -> int:
    if source is None:
        return STANDARD_SIZE
    if source.known is not None:
        return source.known.input_size
    config = source.config
    if "model_type" in config:
        config = _looking(config)[1]
    size = config.get("image_size", config.get("pretrained_cfg", {}).get("input_size"))
    if isinstance(size, list):
        size = size[-1]
    return size if isinstance(size, int) else STANDARD_SIZE


def _normalisation(source: Source | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation: known, the encoder's own, or ImageNet's."""
    if source is not None and source.known is not None:
        return source.known.mean, source.known.std
    if source is None:
        return IMAGENET_MEAN, IMAGENET_STD
    path, own, names = PREPROCESSOR, source.preprocessor, ("image_mean", "image_std")
    timms = source.config.get("pretrained_cfg", {})
    if "mean" in timms and "std" in timms:
        path, own, names = CONFIG, timms, ("mean", "std")
    if not own:
        return IMAGENET_MEAN, IMAGENET_STD
    where = source.folder / path
    _refuse_other_pixels(own, where)
    if own.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    if "do_normalize" not in own and not any(name in own for name in names):
        return IMAGENET_MEAN, IMAGENET_STD
    mean, std = (_three(own.get(name), f"{where}: {name}") for name in names)
    if min(std) <= 0:
        raise InputError(f"{where}: expected deviations above 0, got {own[names[1]]}")
    return mean, std


def _refuse_other_pixels(own: dict[str, Any], path: Path) -> None:
    """Refuse what is done to pixels beside mean and deviation of colours in 0..1."""
    if own.get("do_flip_channel_order"):
        raise InputError(f"{path}: the encoder takes blue before red, which is not supported")
    factor = own.get("rescale_factor", 1 / 255) if own.get("do_rescale", True) else 1.0
    if not (isinstance(factor, int | float) and math.isclose(factor, 1 / 255, rel_tol=1e-3)):
        raise InputError(
            f"{path}: the encoder takes pixels times {factor}, expected 1/255 (colours in 0..1)"
        )


def _three(values: Any, what: str) -> tuple[float, ...]:
    """Return one number for each colour."""
    numbers = [values] * 3 if isinstance(values, int | float) else values
    good = isinstance(numbers, list) and len(numbers) == 3
    if not good or not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
        raise InputError(f"{what}: expected three numbers, got {values!r}")
    return tuple(map(float, numbers))


def _tried(origin: dict[str, Any], size: int) -> tuple[int, bool]:
    """Return the width of the features and whether there is a class token, at no cost."""
    with torch.device("meta"):
        encoder = make_backbone(origin["library"], origin["architecture"], origin["arguments"])
        try:
            special, grid = encoder.eval()(torch.empty(1, 3, size, size))
        except InputError as error:
            raise InputError(f"{origin['name']}: {error}") from error
        except Exception as error:  # a stranger's configuration, a library's code
            raise InputError(
                f"{origin['name']} takes no images of {size} px ({first_line(error)}); set "
                "model.input_size"
            ) from error
    return grid.shape[1], special.shape[1] > 0


def _plain(name: str, mode: str) -> str:
    stem = name.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    allowed = "".join(c if c.isalnum() or c in "._-" else "-" for c in stem).strip("._-")
    return f"{allowed or 'encoder'}-{mode}"
