"""The networks of transformers, timm and MONAI, made alike: an image in, a map of features out."""

from __future__ import annotations

import inspect
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sentinode.core import first_line, require
from sentinode.errors import CheckpointError, InputError

__all__ = ["Backbone", "make_backbone", "read_weights"]

LAST_BLOCKS = (
    *("layers", "encoder.layers", "encoder.layer", "model.layer", "blocks"),
    "vision_model.encoder.layers",
)
CLASS_TOKENS = ("cls_token", "class_embedding")
CLASSIFIERS = ("head.", "fc.", "classifier.", "class_layers.", "head_dist.")
NEVER = (
    *("auto_map", "attn_implementation", "quantization_config"),
    *("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
)
"""What makes transformers run, or fetch, code that is not its own; and timm or MONAI weights."""
MONAI = {
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
}


class Backbone(nn.Module, ABC):
    """An encoder whose output is tokens beside a map.

    Attributes:
        model: The library's network.
        maps: Passes a map of features (N, D, h, w) through, so that what the network looked at
            can be drawn from it: that which enters the last block of a transformer (its output
            reaches the class token nowhere else), or the last map of a convolutional network.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.maps = nn.Identity()
        self.prefix = 0
        block = _last_block(model)
        if block is not None:
            block.register_forward_pre_hook(self._through_maps)

    @abstractmethod
    def raw(self, images: Tensor) -> Tensor:
        """Return tokens (N, T, D), or a map (N, D, h, w)."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return special tokens (N, P, D), the class token first, and the map (N, D, h, w)."""
        out = self.raw(images)
        if out.ndim == 4:
            out = self.maps(out)
            return out.flatten(2).transpose(1, 2)[:, :0], out
        return _as_map(out, self.prefix)

    def _through_maps(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if args[0].ndim != 3:  # a map already, which is passed through at the end
            return args
        special, grid = _as_map(args[0], self.prefix)
        tokens = self.maps(grid).flatten(2).transpose(1, 2)
        return (torch.cat([special, tokens], 1), *args[1:])


@final
class TransformersBackbone(Backbone):
    """A vision model of transformers."""

    def __init__(self, model: nn.Module, prefix: int) -> None:
        super().__init__(model)
        self.prefix = prefix
        takes = inspect.signature(model.forward).parameters
        self._more = {"interpolate_pos_encoding": True} if _INTERPOLATE in takes else {}
        patch = getattr(model.config, "patch_size", None)
        self._laid_by_noise = patch if MASKED in takes and isinstance(patch, int) else None

    def raw(self, images: Tensor) -> Tensor:
        """Return the last hidden state."""
        more: dict[str, Any] = dict(self._more)
        if patch := self._laid_by_noise:  # a masked autoencoder lays its tokens by it, rising
            count = (images.shape[2] // patch) * (images.shape[3] // patch)
            rising = torch.arange(float(count), device=images.device)
            more[MASKED] = rising.expand(images.shape[0], -1)
        state: Tensor = self.model(pixel_values=images, **more).last_hidden_state
        return state


_INTERPOLATE = "interpolate_pos_encoding"
MASKED = "noise"


@final
class TimmBackbone(Backbone):
    """A model of timm, without its classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.prefix = int(getattr(model, "num_prefix_tokens", 0))

    def raw(self, images: Tensor) -> Tensor:
        """Return what timm calls features, before pooling."""
        features: Any = self.model.forward_features
        out: Tensor = features(images)
        channels_last = out.ndim == 4 and getattr(self.model, "output_fmt", None) == "NHWC"
        return out.permute(0, 3, 1, 2) if channels_last else out


@final
class MonaiBackbone(Backbone):
    """A two-dimensional classification network of MONAI, without its classifier."""

    def raw(self, images: Tensor) -> Tensor:
        """Return the last map."""
        features = getattr(self.model, "features", None)
        if features is not None:  # DenseNet
            dense: Tensor = features(images)
            return dense
        out = images
        for name, module in self.model.named_children():
            if name == "avgpool":
                return out
            out = module(out)
        return out


def make_backbone(library: str, architecture: str, arguments: Mapping[str, Any]) -> Backbone:
    """Build an encoder, its weights undefined.

    Args:
        library: ``transformers``, ``timm`` or ``monai``.
        architecture: Model type of transformers, or a name of timm's or MONAI's.
        arguments: transformers' configuration, or arguments of timm's architecture.

    Raises:
        MissingExtraError: The library is not installed.
        InputError: It has no such architecture, or not with such arguments.
    """
    makers: dict[str, Callable[[str, Mapping[str, Any]], Backbone]] = {
        "transformers": _transformers,
        "timm": _timm,
        "monai": _monai,
    }
    if library not in makers:
        raise InputError(f"no encoder library {library!r}; expected {', '.join(makers)}")
    return makers[library](architecture, _plain(arguments))


def read_weights(backbone: Backbone, library: str, folder: Path, files: list[Path]) -> None:
    """Fill an encoder with pretrained weights, in place or, where it has no memory yet, anew.

    Args:
        backbone: Of :func:`make_backbone`.
        library: As there.
        folder: With the configuration.
        files: safetensors.

    Raises:
        CheckpointError: They are damaged, or of another architecture.
    """
    try:
        if library == "transformers":
            state = _state_of_transformers(backbone.model, folder)
        else:
            state = {name: t for file in files for name, t in load_file(file).items()}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: the encoder's weights are damaged: {first_line(error)}"
        ) from error
    wanted = backbone.model.state_dict()
    state = {n: t for n, t in state.items() if n in wanted or not n.startswith(CLASSIFIERS)}
    for name in sorted(wanted.keys() | state.keys()):
        ours = tuple(wanted[name].shape) if name in wanted else "none of that name"
        theirs = tuple(state[name].shape) if name in state else "none of that name"
        if ours != theirs:
            raise CheckpointError(
                f"{folder} holds weights of another encoder: tensor {name!r} expected {ours}, "
                f"got {theirs}"
            )
    state = {n: t.to(wanted[n].dtype) for n, t in state.items()}
    without_memory = any(t.is_meta for t in wanted.values())
    backbone.model.load_state_dict(state, assign=without_memory)


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out, at any depth, what is not of the architecture but would load something."""
    return {
        name: _plain(value) if isinstance(value, Mapping) else value
        for name, value in arguments.items()
        if name not in NEVER and not name.startswith("_")
    }


def _transformers(architecture: str, arguments: Mapping[str, Any]) -> Backbone:
    library = _quiet_transformers()
    known = library.models.auto.configuration_auto.CONFIG_MAPPING
    if architecture not in known:
        raise InputError(f"transformers {library.__version__} has no model type {architecture!r}")
    try:
        config = known[architecture](**arguments)
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0  # a masked autoencoder shows its encoder a quarter, at random
        model = library.AutoModel.from_config(
            config, trust_remote_code=False, **_without_pooler(library, config)
        )
        return TransformersBackbone(model.float(), _tokens_before(model, config))
    except Exception as error:  # a stranger's configuration, a library's code
        raise InputError(
            f"transformers cannot build {architecture!r}: {first_line(error)}"
        ) from error


def _tokens_before(model: Any, config: Any) -> int:
    """Count the tokens that come before those of the map: class, distillation, registers."""
    embeddings = getattr(getattr(model, "vision_model", model), "embeddings", None)
    if not isinstance(getattr(config, "patch_size", None), int):
        return 0
    if not any(hasattr(embeddings, name) for name in CLASS_TOKENS):
        return 0
    distilled = hasattr(embeddings, "distillation_token")
    return 1 + distilled + int(getattr(config, "num_register_tokens", 0) or 0)


def _without_pooler(library: Any, config: Any) -> dict[str, bool]:
    """Leave a pooling layer out: it is not used, and seldom among the weights."""
    try:
        kind = library.models.auto.modeling_auto.MODEL_MAPPING[type(config)]
    except KeyError as error:
        raise ValueError("it has no encoder of its own") from error
    takes = inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}


def _state_of_transformers(built: Any, folder: Path) -> dict[str, Tensor]:
    # transformers itself reads the file: it knows how names changed between its versions. The
    # configuration is the one built from, not the folder's.
    _quiet_transformers()
    read: Any = type(built)
    more = {}
    if "add_pooling_layer" in inspect.signature(read.__init__).parameters:
        more["add_pooling_layer"] = False
    model, found = read.from_pretrained(
        folder,
        config=built.config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        **more,
    )
    if found["missing_keys"]:
        raise ValueError(f"tensor {min(found['missing_keys'])!r} is missing")
    state: dict[str, Tensor] = model.state_dict()
    return state


def _quiet_transformers() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    library = require("transformers", extra="encoders", purpose="a pretrained encoder")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


def _timm(architecture: str, arguments: Mapping[str, Any]) -> Backbone:
    try:
        timm = require("timm", extra="encoders", purpose="an encoder of timm")
    except RuntimeError as error:  # torchvision of another build than PyTorch
        raise InputError(
            f"timm cannot be imported ({first_line(error)}); install torchvision of the "
            "same build as PyTorch"
        ) from error
    if architecture not in timm.list_models(include_tags=False):
        raise InputError(f"timm {timm.__version__} has no architecture {architecture!r}")
    given = dict(arguments) | {"num_classes": 0}
    layer = given.get("mlp_layer")
    if isinstance(layer, str):
        given["mlp_layer"] = getattr(timm.layers, layer)
    try:
        return TimmBackbone(timm.create_model(architecture, pretrained=False, **given))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"timm cannot build {architecture!r}: {error}") from error


def _monai(architecture: str, arguments: Mapping[str, Any]) -> Backbone:
    if architecture not in MONAI:
        raise InputError(f"no MONAI encoder {architecture!r}; expected {', '.join(MONAI)}")
    nets = require("monai.networks.nets", extra="monai", purpose="an encoder of MONAI")
    maker = getattr(nets, MONAI[architecture])
    if architecture.startswith("resnet"):
        return MonaiBackbone(
            maker(spatial_dims=2, n_input_channels=3, feed_forward=False, **arguments)
        )
    return MonaiBackbone(maker(spatial_dims=2, in_channels=3, out_channels=1, **arguments))


def _last_block(model: nn.Module) -> nn.Module | None:
    for name in LAST_BLOCKS:
        try:
            blocks = model.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(blocks, nn.ModuleList | nn.Sequential) and len(blocks):
            return blocks[-1]
    return None


def _as_map(tokens: Tensor, prefix: int) -> tuple[Tensor, Tensor]:
    n, count, width = tokens.shape
    side = math.isqrt(count - prefix)
    if side * side != count - prefix:
        raise InputError(
            f"the encoder's {count} tokens are not {prefix} and a square; it cannot be used here"
        )
    grid = tokens[:, prefix:].transpose(1, 2).reshape(n, width, side, side)
    return tokens[:, :prefix], grid
