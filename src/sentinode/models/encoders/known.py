"""Encoders common in pathology, known by their configuration.

Each row is what the model's own card, or code that runs it, says: architecture, side of the input,
normalisation, pooling and width: `trident/patch_encoder_models/load.py` of
github.com/mahmoodlab/TRIDENT, and for H-optimus and Virchow2 `lazyslide/models/vision` of
github.com/rendeirolab/LazySlide, which agree. Licence and gating are what is generally stated of
the repositories and may have changed, or, for UNI and H-optimus, were not read on the cards
themselves: what the hub's own page says holds.

CONCH is not among them: it runs with code of its own, which neither timm nor transformers has.
"""

from __future__ import annotations

from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "KNOWN", "KnownEncoder", "Library", "Pooling"]

Library = Literal["transformers", "timm", "monai"]
Pooling = Literal["cls", "mean", "cls+mean"]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
BIOPTIMUS_MEAN: Triple = (0.707223, 0.578729, 0.703617)
BIOPTIMUS_STD: Triple = (0.211883, 0.230117, 0.177517)


@final
class KnownEncoder(BaseModel):
    """What is known of an encoder before anything of it is downloaded.

    Attributes:
        name: Short name.
        repository: At the Hugging Face hub.
        library: What builds it.
        architecture: timm's name, or transformers' model type.
        arguments: Of timm's architecture; transformers reads its own from the repository.
        input_size: Side in px.
        mean: Of the channels, of values 0..1.
        std: Of the channels, of values 0..1.
        pooling: How the features of a patch are made of its tokens; registers are dropped.
        features: Number of them.
        licence: As far as known; the hub's page holds.
        gated: Whether its terms must be accepted at the hub first, as far as known.
        published: Format of the weights in the repository. A pickle is never loaded here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    repository: str
    library: Library
    architecture: str
    arguments: dict[str, Any] = {}
    input_size: int = 224
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    pooling: Pooling
    features: int
    licence: str
    gated: bool
    published: Literal["safetensors", "pickle"]


_DYNAMIC = {"img_size": 224, "num_classes": 0, "init_values": 1e-5, "dynamic_img_size": True}
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
_ROWS: tuple[dict[str, Any], ...] = (
    {
        "name": "uni",
        "repository": "MahmoodLab/UNI",
        "library": "timm",
        "architecture": "vit_large_patch16_224",
        "arguments": {**_DYNAMIC, "patch_size": 16},
        "pooling": "cls",
        "features": 1024,
        "licence": "CC-BY-NC-ND-4.0",
        "gated": True,
        "published": "pickle",
    },
    {
        "name": "uni2-h",
        "repository": "MahmoodLab/UNI2-h",
        "library": "timm",
        "architecture": "vit_giant_patch14_224",
        "arguments": {
            **_DYNAMIC,
            **_SWIGLU,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
        },
        "pooling": "cls",
        "features": 1536,
        "licence": "CC-BY-NC-ND-4.0",
        "gated": True,
        "published": "pickle",
    },
    {
        "name": "virchow2",
        "repository": "paige-ai/Virchow2",
        "library": "timm",
        "architecture": "vit_huge_patch14_224",
        "arguments": {
            **_DYNAMIC,
            **_SWIGLU,
            "reg_tokens": 4,
            "mlp_ratio": 5.3375,
            "global_pool": "",
        },
        "pooling": "cls+mean",
        "features": 2560,
        "licence": "CC-BY-NC-ND-4.0",
        "gated": True,
        "published": "safetensors",
    },
    {
        "name": "phikon",
        "repository": "owkin/phikon",
        "library": "transformers",
        "architecture": "vit",
        "pooling": "cls",
        "features": 768,
        "licence": "Owkin non-commercial licence",
        "gated": False,
        "published": "safetensors",
    },
    {
        "name": "phikon-v2",
        "repository": "owkin/phikon-v2",
        "library": "transformers",
        "architecture": "dinov2",
        "pooling": "cls",
        "features": 1024,
        "licence": "Owkin non-commercial licence",
        "gated": False,
        "published": "safetensors",
    },
    {
        "name": "midnight-12k",
        "repository": "kaiko-ai/midnight",
        "library": "transformers",
        "architecture": "dinov2",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "pooling": "cls+mean",
        "features": 3072,
        "licence": "MIT",
        "gated": False,
        "published": "safetensors",
    },
    {
        "name": "h-optimus-0",
        "repository": "bioptimus/H-optimus-0",
        "library": "timm",
        "architecture": "vit_giant_patch14_reg4_dinov2",
        "arguments": {**_DYNAMIC, "global_pool": "token"},
        "mean": BIOPTIMUS_MEAN,
        "std": BIOPTIMUS_STD,
        "pooling": "cls",
        "features": 1536,
        "licence": "Apache-2.0",
        "gated": True,
        "published": "pickle",
    },
    {
        "name": "h-optimus-1",
        "repository": "bioptimus/H-optimus-1",
        "library": "timm",
        "architecture": "vit_giant_patch14_reg4_dinov2",
        "arguments": {**_DYNAMIC, "global_pool": "token"},
        "mean": BIOPTIMUS_MEAN,
        "std": BIOPTIMUS_STD,
        "pooling": "cls",
        "features": 1536,
        "licence": "CC-BY-NC-ND-4.0",
        "gated": True,
        "published": "pickle",
    },
    {
        "name": "gigapath",
        "repository": "prov-gigapath/prov-gigapath",
        "library": "timm",
        "architecture": "vit_giant_patch14_dinov2",
        "arguments": {
            "img_size": 224,
            "num_classes": 0,
            "dynamic_img_size": True,
            "patch_size": 16,
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "mlp_ratio": 5.33334,
        },
        "pooling": "cls",
        "features": 1536,
        "licence": "Apache-2.0",
        "gated": True,
        "published": "pickle",
    },
)

KNOWN: dict[str, KnownEncoder] = {row["name"]: KnownEncoder.model_validate(row) for row in _ROWS}
"""By short name."""
