"""A pretrained encoder with a small head: one logit a patch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sentinode.errors import CheckpointError, InputError
from sentinode.models.encoders.backbone import Backbone, make_backbone, read_weights
from sentinode.models.encoders.known import Pooling
from sentinode.models.encoders.source import find
from sentinode.models.network import Network
from sentinode.models.spec import ModelSpec
from sentinode.types import Preprocess

__all__ = [
    "BUILDER",
    "EncoderNetwork",
    "Mode",
    "build_encoder",
    "from_scratch",
    "has_fixed_features",
]

Mode = Literal["frozen", "linear", "finetune"]
BUILDER = "sentinode.models.encoders:build_encoder"
HEAD_STD = 0.01


@final
class EncoderNetwork(Network):
    """An encoder and a head upon its features.

    A frozen encoder's weights are none of the network's own: they are not among its
    ``state_dict``, and come from where the encoder lies as soon as the head's are drawn or read.

    Attributes:
        encoder: The encoder.
        head: Features (N, F) to logits (N, 1).
        own: Whether the encoder's weights are part of the ``state_dict``.
        frozen: Whether training leaves the encoder as it is.
    """

    def __init__(
        self,
        encoder: Backbone,
        head: nn.Module,
        *,
        origin: Mapping[str, Any],
        mode: Mode,
        pooling: Pooling,
        input_size: int,
        own: bool,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.own, self.frozen = own, mode != "finetune"
        self.input_size = input_size
        self._origin, self._pooling, self._filled = origin, pooling, False
        if self.frozen:
            encoder.requires_grad_(False)
        if not own:
            self.register_state_dict_post_hook(_leave_out)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_fill_in)  # type: ignore[no-untyped-call]

    def forward(self, patches: Tensor) -> Tensor:
        """Return logits (N,) of patches (N, 3, H, W), or of features (N, F) made before."""
        features = patches if patches.ndim == 2 else self.embed(patches)
        logits: Tensor = self.head(features)
        return logits.squeeze(1)

    def embed(self, patches: Tensor) -> Tensor:
        """Return the features, float (N, F), of preprocessed patches (N, 3, H, W)."""
        learning = self.training and self.frozen
        with torch.set_grad_enabled(torch.is_grad_enabled() and not learning):
            images = interpolate(
                patches, (self.input_size, self.input_size), mode="bilinear", align_corners=False
            )
            if torch.is_grad_enabled() and not images.requires_grad:
                images.requires_grad_()  # so that maps can be drawn from a frozen encoder
            special, grid = self.encoder(images)
            pooled = []
            if self._pooling != "mean":
                pooled.append(special[:, 0])
            if self._pooling != "cls":
                pooled.append(grid.mean((2, 3)))
            return torch.cat(pooled, 1)

    def train(self, mode: bool = True) -> EncoderNetwork:
        """Switch to training; a frozen encoder stays as it is used."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the head's weights; the encoder takes its pretrained ones."""
        self.fill(generator)
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=HEAD_STD, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def fill(self, generator: torch.Generator | None = None) -> None:
        """Read the encoder's pretrained weights, once.

        Raises:
            MissingInputError: They are not on this machine.
            CheckpointError: They are damaged, or not those that the head was trained upon.
        """
        if self._filled:
            return
        origin = self._origin
        if origin["weights_sha256"] is None:
            self._draw(generator)
        else:
            folder = Path(origin["folder"]) if origin["folder"] else None
            source = find(origin["name"], folder)
            came = source.weights_hash()
            if came != origin["weights_sha256"]:
                raise CheckpointError(
                    f"{source.folder} holds other weights of {origin['name']} than those used "
                    f"(SHA-256 {came[:12]}, expected {origin['weights_sha256'][:12]})"
                )
            read_weights(self.encoder, origin["library"], source.folder, source.files)
        self.complete()
        self._filled = True

    def complete(self) -> None:
        """Give memory to what no file holds, as tables of places that are computed."""
        missing = {name for name, tensor in self.encoder.named_buffers() if tensor.is_meta}
        if missing:
            fresh = dict(self._built().named_buffers())
            for name in missing:
                module, _, attribute = name.rpartition(".")
                setattr(self.encoder.get_submodule(module), attribute, fresh[name])

    def _draw(self, generator: torch.Generator | None) -> None:
        """Begin from scratch: the library's own draw, from the generator's seed alone."""
        with torch.random.fork_rng([]):
            torch.manual_seed(generator.initial_seed() if generator is not None else 0)
            state = self._built().state_dict()
        without_memory = any(p.is_meta for p in self.encoder.parameters())
        self.encoder.load_state_dict(state, assign=without_memory)

    def _built(self) -> Backbone:
        origin = self._origin
        return make_backbone(origin["library"], origin["architecture"], origin["arguments"])


def _leave_out(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [n for n in state if n.startswith(f"{prefix}encoder.")]:
        del state[name]


def _fill_in(module: Any, incompatible: Any) -> None:
    if module.own:
        module.complete()
        return
    incompatible.missing_keys[:] = [
        name for name in incompatible.missing_keys if "encoder." not in name
    ]
    module.fill()


def has_fixed_features(spec: ModelSpec) -> bool:
    """Tell whether a network is a frozen encoder with a head that alone learns."""
    return spec.builder == BUILDER and spec.args.get("mode") in ("frozen", "linear")


def from_scratch(spec: ModelSpec) -> ModelSpec:
    """Return the spec of the same network with an encoder that begins without pretrained weights.

    A network without an encoder stays as it is.
    """
    origin = spec.args.get("origin")
    if spec.builder != BUILDER or not isinstance(origin, dict):
        return spec
    return spec.model_copy(
        update={"args": spec.args | {"origin": origin | {"weights_sha256": None}}}
    )


def build_encoder(
    preprocess: Preprocess,
    *,
    origin: Mapping[str, Any],
    mode: Mode,
    pooling: Pooling,
    input_size: int,
    features: int,
    hidden: int,
    dropout: float,
    own: bool,
) -> EncoderNetwork:
    """Build an encoder with its head.

    Args:
        preprocess: Of colour patches.
        origin: ``name``, ``folder``, ``library``, ``architecture``, ``arguments`` and
            ``weights_sha256`` of the encoder; the last is None where it begins from scratch.
        mode: ``linear`` (a linear layer upon the frozen encoder), ``frozen`` (a hidden layer and
            dropout upon it) or ``finetune`` (a linear layer, and the encoder learns as well).
        pooling: Class token, mean of the map, or both.
        input_size: Side in px that patches are resized to, bilinear, on the device.
        features: What the pooling leaves.
        hidden: Units of the hidden layer.
        dropout: Before the last layer.
        own: Whether the encoder's weights are stored with the head's.

    Raises:
        MissingExtraError: The encoder's library is not installed.
        InputError: The parts do not fit together.
    """
    if preprocess.channels != "rgb":
        raise InputError("an encoder takes colour patches")
    encoder = make_backbone(origin["library"], origin["architecture"], origin["arguments"])
    if pooling != "mean" and encoder.prefix == 0:
        raise InputError(
            f"{origin['name']} has no class token; take model.pooling=mean, got {pooling}"
        )
    layers: list[nn.Module] = [nn.LayerNorm(features)]
    width = features
    if mode == "frozen":
        layers += [nn.Linear(features, hidden), nn.GELU()]
        width = hidden
    layers += [nn.Dropout(dropout), nn.Linear(width, 1)]
    return EncoderNetwork(
        encoder,
        nn.Sequential(*layers),
        origin=origin,
        mode=mode,
        pooling=pooling,
        input_size=input_size,
        own=own,
    )
