"""From a run to the graph of an export: patches as they lie on disk to a logit."""

from __future__ import annotations

import io
import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from sentinode.data.loader import to_input
from sentinode.models import Network, Run, folded
from sentinode.predict import INPUT, OUTPUT, openvino, silence
from sentinode.types import Preprocess

__all__ = ["Whole", "onnx_model", "save_openvino", "save_script", "whole"]

OPSET = 18


@final
class Whole(nn.Module):
    """A network with its preprocessing before it.

    That this is inside costs nothing (a runtime fuses it into the first convolution), moves a
    quarter of the bytes, and leaves nothing for a caller to get wrong.
    """

    def __init__(self, network: Network, preprocess: Preprocess) -> None:
        super().__init__()
        self.network, self.preprocess = network, preprocess

    def forward(self, patches: Tensor) -> Tensor:
        """Take uint8 (N, H, W, 3), RGB, to float32 logits (N,)."""
        logits: Tensor = self.network(to_input(patches, self.preprocess))
        return logits


def whole(run: Run) -> Whole:
    """Return a run's network for inference alone, with its preprocessing.

    Raises:
        CheckpointError: The run's weights are damaged.
    """
    return Whole(folded(run.load()), run.spec.preprocess).eval()


def onnx_model(module: Whole) -> Any:
    """Return the ONNX model of a network, any number of patches at once.

    Nothing in it tells of this machine, so that the same network gives the same bytes.
    """
    side = module.preprocess.size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    silence()  # the exporter tries what it finds installed
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget(model.graph)
    for function in model.functions:
        _forget(function)
    del model.metadata_props[:]
    return model


def save_openvino(model: Any, folder: Path, name: str) -> None:
    """Write OpenVINO's two files, weights in float32 or as they were quantised.

    Args:
        model: ONNX model, or OpenVINO's own.
        folder: Where to.
        name: Of the ``.xml`` file.
    """
    ov = openvino()
    loaded = model if isinstance(model, ov.Model) else openvino_model(model)
    # names of its own making count on through a process, so that bytes would tell what came before
    for number, operation in enumerate(loaded.get_ordered_ops()):
        if operation.get_type_name() not in ("Parameter", "Result"):
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    ov.save_model(loaded, folder / name, compress_to_fp16=False)


def openvino_model(model: Any) -> Any:
    """Return OpenVINO's form of an ONNX model."""
    return openvino().Core().read_model(model.SerializeToString())


class _Sized(nn.Module):
    """A traced module that refuses patches of another shape, of which it would make nonsense."""

    def __init__(self, traced: nn.Module, shape: list[int]) -> None:
        super().__init__()
        self.traced = traced
        self.shape = shape

    def forward(self, patches: Tensor) -> Tensor:
        if list(patches.shape[1:]) != self.shape:
            raise ValueError(f"expected patches of shape {self.shape}, got {patches.shape[1:]}")
        logits: Tensor = self.traced(patches)
        return logits


def save_script(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write a module as TorchScript, for any number of patches of the example's size at once.

    Args:
        module: In evaluation mode.
        example: Input of two patches.
        path: File to write.
    """
    with _quiet(), torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            module, (example,), check_trace=False
        )
        sized = torch.jit.script(_Sized(traced, list(example.shape[1:])).eval())
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.freeze(sized), buffer)
    _without_sources(buffer, path)


def _without_sources(saved: io.BytesIO, path: Path) -> None:
    """Write TorchScript without the places in this machine's files that its lines came from."""
    with zipfile.ZipFile(saved) as given, zipfile.ZipFile(path, "w") as kept:
        for name in given.namelist():
            if not name.endswith(".debug_pkl"):
                kept.writestr(zipfile.ZipInfo(name), given.read(name))


def _forget(graph: Any) -> None:
    """Remove what the exporter noted of source files and their lines."""
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*getattr(graph, "value_info", []), *getattr(graph, "initializer", [])]:
        del value.metadata_props[:]
    for value in [*graph.input, *graph.output]:
        if not isinstance(value, str):
            del value.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporters say to their own developers."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
