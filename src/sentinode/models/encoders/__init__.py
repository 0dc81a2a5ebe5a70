"""Pretrained encoders of transformers, timm and MONAI as ordinary networks of this package."""

from sentinode.models.encoders.describe import encoder_spec
from sentinode.models.encoders.known import KNOWN, KnownEncoder
from sentinode.models.encoders.network import (
    EncoderNetwork,
    build_encoder,
    from_scratch,
    has_fixed_features,
)
from sentinode.models.encoders.source import Source, fetch, find, known_of, repository_of

__all__ = [
    "KNOWN",
    "EncoderNetwork",
    "KnownEncoder",
    "Source",
    "build_encoder",
    "encoder_spec",
    "fetch",
    "find",
    "from_scratch",
    "has_fixed_features",
    "known_of",
    "repository_of",
]
