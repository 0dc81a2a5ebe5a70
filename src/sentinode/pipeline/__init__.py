"""All stages in order, and the ledger by which a finished one is known."""

from sentinode.pipeline.demo import demo_config, run_demo
from sentinode.pipeline.ledger import Ledger, StageRecord
from sentinode.pipeline.notebooks import EXPERIMENTS, Experiment, reproduce
from sentinode.pipeline.run import RunSummary, run_pipeline

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Ledger",
    "RunSummary",
    "StageRecord",
    "demo_config",
    "reproduce",
    "run_demo",
    "run_pipeline",
]
