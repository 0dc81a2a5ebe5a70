"""What computes a network: PyTorch from a run, ONNX Runtime or OpenVINO from an export.

Nothing is imported before it is asked for, so that an export answers without PyTorch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from abc import ABC, abstractmethod
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import cores
from sentinode.errors import CheckpointError, InputError
from sentinode.predict.exported import Export
from sentinode.types import UInt8Array

if TYPE_CHECKING:
    from sentinode.config import PredictConfig
    from sentinode.models import Run

__all__ = [
    "OnnxRuntime",
    "OpenVinoRuntime",
    "Runtime",
    "TorchRuntime",
    "gpu_there",
    "onnxruntime",
    "openvino",
    "openvino_computes",
    "runtime_of",
    "silence",
]

INPUT, OUTPUT = "patches", "logit"


class Runtime(ABC):
    """A network ready to compute.

    Attributes:
        name: Of what computes it.
        device: ``cpu`` or ``cuda``.
        precision: Of its arithmetic.
        orientations: How many views of a patch are seen.
        shades: How many shades each of its orientations is seen in.
    """

    name: str
    device: str
    precision: str
    orientations: int = 1
    shades: int = 1

    @abstractmethod
    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """Return the logits of uint8 patches (B, H, W, 3), RGB, as float32 (B,).

        Raises:
            InputError: They do not fit in memory.
        """

    def remarks(self) -> list[str]:
        """Return what the user should know once all is computed, a line each."""
        return []


@final
class TorchRuntime(Runtime):
    """PyTorch, from a run's own weights.

    Args:
        run: The network.
        config: Device and precision.
    """

    name = "torch"

    def __init__(self, run: Run, config: PredictConfig) -> None:
        from sentinode.models import choose_compute, folded

        self._compute = choose_compute(config.device, config.torch_precision)
        self._network, self._preprocess = folded(run.load()), run.spec.preprocess
        self._compute.place(self._network)
        self.device, self.precision = self._compute.device, self._compute.precision

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        import torch

        from sentinode.models import deterministic
        from sentinode.predict.forward import forward

        batch = torch.from_numpy(np.ascontiguousarray(patches))
        with deterministic(self._compute):
            return forward(self._network, [batch], self._preprocess, self._compute)


@final
class OnnxRuntime(Runtime):
    """ONNX Runtime on the processor.

    Args:
        export: Of the format onnx.
    """

    name, device = "onnx", "cpu"

    def __init__(self, export: Export) -> None:
        ort = onnxruntime()
        path = export.model()
        self.precision = export.record.precision
        options = ort.SessionOptions()
        options.intra_op_num_threads = cores()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except _onnx_errors() as error:
            raise CheckpointError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        (given,) = self._session.get_inputs()
        _check_input(export, given.type, given.shape)

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        (found,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(patches)})
        logits: NDArray[np.float32] = found
        return logits


@final
class OpenVinoRuntime(Runtime):
    """OpenVINO on the processor.

    Args:
        export: Of the format openvino.
        batch_size: The most patches that will come at once. The network is compiled for so many,
            which is faster; a smaller batch is filled up.
    """

    name, device = "openvino", "cpu"

    def __init__(self, export: Export, batch_size: int) -> None:
        ov = openvino()
        path = export.model()
        self.precision, self._batch_size = export.record.precision, batch_size
        core = ov.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": cores(),
        }
        try:
            model = core.read_model(path)
            shape = [str(d) for d in model.input(0).partial_shape]
            _check_input(export, str(model.input(0).element_type.to_string()), shape)
            model.reshape([batch_size, *model.input(0).partial_shape[1:]])
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise CheckpointError(f"{path}: OpenVINO cannot load it: {error}") from error
        self._request = self._compiled.create_infer_request()

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        count, side = len(patches), patches.shape[1]
        given = np.ascontiguousarray(patches)
        if count < self._batch_size:
            given = np.zeros((self._batch_size, side, side, 3), np.uint8)
            given[:count] = patches
        found = self._request.infer([given], share_inputs=True)[0]
        logits: NDArray[np.float32] = np.array(found[:count], np.float32)
        return logits


def runtime_of(source: Run | Export, config: PredictConfig, batch_size: int) -> Runtime:
    """Load a run into PyTorch, or an export into what it is for.

    Raises:
        CheckpointError: A file is damaged, or not the one that was recorded.
        InputError: The device asked for is not there, or this processor lacks the precision.
    """
    if not isinstance(source, Export):
        return TorchRuntime(source, config)
    if config.device == "cuda":
        raise InputError("an export is computed on the processor; take --runtime torch for a GPU")
    if source.record.kind == "onnx":
        return OnnxRuntime(source)
    if source.record.kind == "openvino":
        if source.record.precision == "bfloat16" and not openvino_computes("BF16"):
            raise InputError("this processor does not compute in bfloat16; take another precision")
        return OpenVinoRuntime(source, batch_size)
    raise InputError(
        f"{source.folder} is a {source.record.kind} export, for other programs; predict takes "
        "onnx and openvino exports"
    )


def silence() -> None:
    """Switch the telemetry of OpenVINO, NNCF and ONNX Runtime off; before any of them is imported.

    OpenVINO and NNCF send through one package and do without where that cannot be imported. ONNX
    Runtime opens its own store, and asks its own server, on being imported, unless it is told not
    to by the environment.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry."""
    silence()
    import onnxruntime as ort

    ort.disable_telemetry_events()
    return ort  # type: ignore[no-any-return]


def _onnx_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        kind
        for kind in vars(state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    )


def openvino() -> ModuleType:
    """Import OpenVINO without its telemetry."""
    silence()
    import openvino as ov

    return ov  # type: ignore[no-any-return]


def openvino_computes(what: str) -> bool:
    """Tell whether this processor itself computes in ``BF16`` or ``INT8``."""
    capabilities: Any = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return what in capabilities


def gpu_there() -> bool:
    """Tell, without PyTorch, whether a driver finds a GPU that PyTorch may be able to use."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        with contextlib.suppress(OSError):
            driver, count = ctypes.CDLL(name), ctypes.c_int(0)
            if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
                return count.value > 0
    return False


def _check_input(export: Export, dtype: str, shape: list[Any]) -> None:
    side = export.record.preprocess.size
    wanted = [str(side), str(side), "3"]
    if dtype not in ("tensor(uint8)", "u8") or [str(d) for d in shape[1:]] != wanted:
        raise CheckpointError(
            f"{export.folder / export.record.model} takes {dtype} {shape}, expected uint8 "
            f"[N, {', '.join(wanted)}]; export again"
        )
