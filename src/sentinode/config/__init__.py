"""One strict, frozen model per stage, and how a file and ``--set`` make it."""

from sentinode.config.load import load_config, resolved_toml
from sentinode.config.sections import (
    AuditConfig,
    Config,
    EvaluateConfig,
    ModelConfig,
    PackConfig,
    PhantomConfig,
    PredictConfig,
    Section,
    SplitConfig,
    TrainConfig,
)
from sentinode.config.template import commented_toml

__all__ = [
    "AuditConfig",
    "Config",
    "EvaluateConfig",
    "ModelConfig",
    "PackConfig",
    "PhantomConfig",
    "PredictConfig",
    "Section",
    "SplitConfig",
    "TrainConfig",
    "commented_toml",
    "load_config",
    "resolved_toml",
]
