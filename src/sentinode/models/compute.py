"""Where and how a network is computed: device, precision and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import torch

from sentinode.errors import InputError
from sentinode.models.network import Network

__all__ = ["Compute", "choose_compute", "computes_bfloat16", "deterministic", "out_of_memory"]


OUT_OF_MEMORY = (
    "out of memory",
    "bad_alloc",
    "alloc_failed",  # cuBLAS and cuDNN
    "could not create a primitive",  # oneDNN, whose scratch space found no room
    "could not execute a primitive",
)
"""What PyTorch and its libraries say of it where they raise no class of its own."""


@final
@dataclass(frozen=True)
class Compute:
    """What computes a network.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: Of products and convolutions; weights are float32 either way.
        threads: CPU threads.
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    threads: int

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which convolutions and products take the chosen precision."""
        wanted = self.precision == "bfloat16"
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=wanted)

    def place(self, network: Network) -> None:
        """Move a network to the device, its weights in channels-last order, which is faster.

        On a GPU float32 then means float32: PyTorch's own choice for convolutions is TF32, which
        rounds to 10 bits of mantissa.
        """
        if self.device == "cuda" and self.precision == "float32":
            torch.backends.cudnn.allow_tf32 = False
        network.to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def settings(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return asdict(self)


def choose_compute(
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "float32", "bfloat16"],
    threads: int = 0,
) -> Compute:
    """Settle what ``auto`` and 0 mean on this machine.

    Raises:
        InputError: A GPU is asked for and there is none that PyTorch can use.
    """
    if device == "cuda" and not torch.cuda.is_available():
        build = "has no CUDA in it" if torch.version.cuda is None else "finds no GPU"
        raise InputError(f"device cuda: this PyTorch {build}; take device auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bfloat16" if computes_bfloat16(device) else "float32"
    return Compute(device, precision, threads or torch.get_num_threads())


def computes_bfloat16(device: Literal["cpu", "cuda"]) -> bool:
    """Tell whether the hardware itself computes in bfloat16, so that it is faster there.

    oneDNN also accepts bfloat16 on processors that only imitate it, at a loss.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    in_hardware = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(in_hardware and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def deterministic(compute: Compute) -> Iterator[None]:
    """Compute the same bytes from the same input for as long as the block lasts.

    Threads are fixed and operations without a deterministic form are refused. What PyTorch was
    set to before comes back at the end.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if compute.device == "cuda":  # read by cuBLAS when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True)
    # Every tensor here is written before it is read; filling each one first would cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return ("alloc" in said and "memory" in said) or any(words in said for words in OUT_OF_MEMORY)
