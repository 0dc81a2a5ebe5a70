"""What made a file: versions, configuration, seeds and the hashes of its inputs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sentinode import __version__
from sentinode.core.files import hash_json

__all__ = ["Provenance", "processor_name", "provenance"]

PACKAGES = (
    "torch",
    "lightning-fabric",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "pillow",
)


class Provenance(BaseModel):
    """What made a file, written into it or beside it.

    Attributes:
        stage: The stage that wrote it, as in "pack".
        sentinode: Version of this package.
        python: Version of Python.
        platform: Operating system and processor architecture.
        processor: Name of the processor, empty where the system does not tell.
        packages: Versions of the packages that shape a result.
        config: The part of the configuration that the stage used.
        config_hash: SHA-256 of ``config``.
        inputs: Hash of each input by its role, as in ``{"set": "…", "split": "…"}``.
        seeds: Every seed used, by its role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    sentinode: str
    python: str
    platform: str
    processor: str
    packages: dict[str, str]
    config: dict[str, Any]
    config_hash: str
    inputs: dict[str, str]
    seeds: dict[str, int]


def provenance(
    stage: str,
    *,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    seeds: Mapping[str, int] | None = None,
    packages: Sequence[str] = (),
) -> Provenance:
    """Collect the provenance of what a stage is about to write; holds no time and no path.

    Args:
        stage: The stage that writes.
        config: The part of the configuration that it used.
        inputs: Hash of each input by its role.
        seeds: Every seed used, by its role.
        packages: Those that shape this result, besides the ones always named.
    """
    settings = dict(config or {})
    return Provenance(
        stage=stage,
        sentinode=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        packages=_versions([*PACKAGES, *packages]),
        config=settings,
        config_hash=hash_json(settings),
        inputs=dict(inputs or {}),
        seeds=dict(seeds or {}),
    )


def processor_name() -> str:
    """Return the processor's name, or an empty string where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
