"""The main job on the synthetic cohort: what a new user sees first."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from sentinode.config import Config, load_config
from sentinode.pipeline.run import RunSummary, run_pipeline

__all__ = ["demo_config", "run_demo"]


def demo_config(overrides: list[str]) -> Config:
    """Return the demo's configuration: small enough for two cores, with overrides."""
    with as_file(files("sentinode.pipeline") / "demo.toml") as path:
        return load_config(path, overrides)


def run_demo(out: Path, config: Config, say: Callable[[str], None] = print) -> RunSummary:
    """Render the synthetic cohort into ``out/cohort`` and do the main job on it.

    Raises:
        SentinodeError: As :func:`run_pipeline`.
    """
    from sentinode.phantom import write_cohort

    write_cohort(out / "cohort", config.phantom)
    return run_pipeline(out / "cohort", out, config, say)
