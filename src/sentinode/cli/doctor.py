"""`sentinode doctor`: what of this machine and of the optional packages works."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch
    from packaging.requirements import Requirement

PROCESSOR_FEATURES = {
    "avx2": "fast float32",
    "avx512f": "faster float32",
    "avx512_vnni": "int8 inference",
    "avx512_bf16": "bfloat16 training and inference",
    "amx_bf16": "bfloat16 by matrix tiles",
}
DISK_WORTH_A_WORD = 20e9


def doctor_command() -> None:
    """Say what of this machine and of the optional packages works, and how to mend the rest."""
    for topic, lines in (
        ("machine", _machine()),
        ("PyTorch", _pytorch()),
        ("packages", _packages()),
    ):
        typer.echo(f"{topic}")
        for line in lines:
            typer.echo(f"  {line}")


def _machine() -> Iterator[str]:
    import psutil

    from sentinode.core import processor_name

    yield f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    logical = psutil.cpu_count() or 1
    yield f"{processor_name() or 'processor of unknown name'}, {logical} logical cores"
    memory = psutil.virtual_memory()
    yield f"memory {memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free"
    free = shutil.disk_usage(Path.cwd()).free
    advice = "" if free > DISK_WORTH_A_WORD else " (the full Kaggle set takes 6.1 GB packed)"
    yield f"disk {free / 1e9:.1f} GB free here{advice}"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
        for name, use in PROCESSOR_FEATURES.items():
            yield f"{name:12} {'yes' if name in flags else 'no '}  {use}"
    else:
        yield "this system does not list the processor's features"


def _pytorch() -> Iterator[str]:
    import torch

    yield f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            yield f"GPU {index}: {device.name}, {device.total_memory / 2**30:.0f} GiB"
    elif torch.version.cuda is None:
        yield "no GPU build; for an NVIDIA GPU: make env TORCH=cuda"
    else:
        yield "GPU build, but no GPU is seen; check the driver with nvidia-smi"
    single = _gflops(torch.float32)
    half = _gflops(torch.bfloat16)
    yield f"float32  {single:5.0f} GFLOP/s on the CPU (matrix product, a glance)"
    faster = half > 1.2 * single
    advice = "train.precision=auto uses it" if faster else "train.precision=auto stays at float32"
    yield f"bfloat16 {half:5.0f} GFLOP/s on the CPU; {advice}"


def _gflops(dtype: torch.dtype) -> float:
    """Rate of a 1024 x 1024 matrix product, the best of several, in 1e9 operations a second."""
    import torch

    side = 1024
    a = torch.ones(side, side, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def _packages() -> Iterator[str]:
    from packaging.requirements import Requirement

    extras: dict[str, list[Requirement]] = {}
    for text in requires("sentinode") or []:
        requirement = Requirement(text)
        _, _, extra = str(requirement.marker or "").partition("extra == ")
        extras.setdefault(extra.strip("\"'"), []).append(requirement)
    for extra, needed in extras.items():
        wrong = [p for p in map(_problem, needed) if p]
        name = f"extra {extra!r}" if extra else "base"
        mend = f"pip install 'sentinode[{extra}]'" if extra else "pip install sentinode"
        yield (
            f"{name}: {', '.join(wrong)}; mend with: {mend}"
            if wrong
            else f"{name}: all {len(needed)} packages there"
        )


def _problem(requirement: Requirement) -> str | None:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} {found} is not {requirement.specifier}"
