"""Tiny encoders with random weights, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch

SIDE = 32


def tiny_encoder(folder: Path, kind: str = "dinov2", seed: int = 0) -> Path:
    """Save an encoder of few weights.

    ``registers`` is a DINOv2 with such; ``clip`` has an encoder of text beside that of images.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    shared = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    models = {
        "vit": (transformers.ViTConfig, transformers.ViTModel, shared | {"intermediate_size": 32}),
        "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model, shared),
        "registers": (
            transformers.Dinov2WithRegistersConfig,
            transformers.Dinov2WithRegistersModel,
            shared | {"num_register_tokens": 3},
        ),
        "dinov3": (
            transformers.DINOv3ViTConfig,
            transformers.DINOv3ViTModel,
            shared | {"intermediate_size": 32, "num_register_tokens": 2},
        ),
        "convnext": (
            transformers.ConvNextConfig,
            transformers.ConvNextModel,
            {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "image_size": SIDE},
        ),
    }
    small = shared | {"intermediate_size": 32}
    models |= {
        "deit": (transformers.DeiTConfig, transformers.DeiTModel, small),
        "mae": (transformers.ViTMAEConfig, transformers.ViTMAEModel, small),
        "beit": (transformers.BeitConfig, transformers.BeitModel, small),
        "hiera": (
            transformers.HieraConfig,
            transformers.HieraModel,
            {
                "image_size": [SIDE, SIDE],
                "embed_dim": 8,
                "depths": [1, 1],
                "num_heads": [1, 2],
                "num_query_pool": 1,
                "masked_unit_size": [2, 2],
            },
        ),
        "clip": (
            transformers.CLIPConfig,
            transformers.CLIPModel,
            {
                "vision_config": small,
                "text_config": {
                    "hidden_size": 16,
                    "intermediate_size": 32,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "vocab_size": 20,
                },
            },
        ),
    }
    config, model, settings = models[kind]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model(config(**settings)).eval().save_pretrained(folder)
    return folder
