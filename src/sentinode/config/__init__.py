"""One strict, frozen model per stage, and how a file and ``--set`` make it."""

from sentinode.config.extract import ExtractConfig
from sentinode.config.load import changed, config_names, load_config, resolved_toml
from sentinode.config.section import Section
from sentinode.config.sections import (
    AuditConfig,
    Config,
    EvaluateConfig,
    ExportConfig,
    PackConfig,
    PhantomConfig,
    PredictConfig,
    SplitConfig,
    StressConfig,
    TuneConfig,
)
from sentinode.config.slide import SlideConfig
from sentinode.config.template import commented_toml
from sentinode.config.training import AugmentConfig, ModelConfig, PretrainConfig, TrainConfig

__all__ = [
    "AuditConfig",
    "AugmentConfig",
    "Config",
    "EvaluateConfig",
    "ExportConfig",
    "ExtractConfig",
    "ModelConfig",
    "PackConfig",
    "PhantomConfig",
    "PredictConfig",
    "PretrainConfig",
    "Section",
    "SlideConfig",
    "SplitConfig",
    "StressConfig",
    "TrainConfig",
    "TuneConfig",
    "changed",
    "commented_toml",
    "config_names",
    "load_config",
    "resolved_toml",
]
