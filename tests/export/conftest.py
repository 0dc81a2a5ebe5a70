"""One small run, calibrated and exported once for all tests of this folder."""

from __future__ import annotations

import pytest

from builders.exports import calibration
from builders.sets import QUICK, small_set, small_split, tiny_spec
from sentinode.config import ExportConfig, load_config
from sentinode.export import Exported, export_run, plans
from sentinode.models import Run
from sentinode.predict import openvino
from sentinode.tables import PackedSet, Split
from sentinode.train import train


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    packed = small_set(tmp_path_factory.mktemp("export") / "set", mpp=0.97)
    small_split(packed)
    return packed


@pytest.fixture(scope="session")
def run(packed: PackedSet) -> Run:
    split = Split.read(packed.folder / "split.json")
    run = train(
        packed,
        split,
        load_config(None, [*QUICK, "train.epochs=25"]),
        packed.folder.parent / "run",
        spec=tiny_spec(dropout=0.0),
    )
    calibration(run).write(run.folder)
    return run


@pytest.fixture(scope="session")
def bfloat16() -> bool:
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="session")
def exported(run: Run, packed: PackedSet, bfloat16: bool) -> Exported:
    """Every format in every precision, where predict finds them: below the run."""
    precisions = ["float32", "int8", *(["bfloat16"] if bfloat16 else [])]
    return export_run(
        run,
        plans(["onnx", "openvino", "torchscript", "wsinfer"], precisions),
        ExportConfig(calibration_patches=40, auc_tolerance=1),
        check_set=packed,
        say=lambda line: None,
    )
