import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from scipy.special import expit

from builders.exports import calibration
from builders.sets import SIDE, small_set, small_split, tiny_spec
from sentinode.cli.export import export_command
from sentinode.config import Config, ExportConfig, load_config
from sentinode.core import hash_file, write_json
from sentinode.errors import CheckpointError, InputError
from sentinode.export import Exported, export_run, plans
from sentinode.export.graph import Whole
from sentinode.export.wsinfer import ForWsinfer
from sentinode.metrics import roc_auc
from sentinode.models import Run, new_network
from sentinode.predict import ExportPrecision, exports_in, predict_set
from sentinode.tables import PackedSet
from sentinode.types import Preprocess

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
EVERY = ["train", "valid", "test", "unlabelled"]


def by(runtime: str, precision: str = "float32", *more: str) -> Config:
    return load_config(
        None, [f"predict.runtime={runtime}", f"predict.precision={precision}", *more]
    )


def of(exported: Exported, kind: str, precision: str = "float32") -> Path:
    return next(e.folder for e in exported.exports if e.title == f"{kind} {precision}")


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_float32_export_predicts_as_pytorch(
    run: Run, exported: Exported, packed: PackedSet, runtime: str
) -> None:
    expected = predict_set(run, packed, by("torch"), EVERY)
    # a batch of 7 leaves a smaller one at the end
    found = predict_set(run, packed, by(runtime, "float32", "predict.batch_size=7"), EVERY)
    assert (found.note["runtime"], found.note["precision"]) == (runtime, "float32")
    assert found.note["calibration"] == expected.note["calibration"]
    assert np.allclose(found.frame["logit"], expected.frame["logit"], atol=5e-5)
    assert np.allclose(found.frame["probability"], expected.frame["probability"], atol=1e-5)
    alone = predict_set(of(exported, runtime), packed, Config(), EVERY)
    assert alone.frame["probability"].equals(
        predict_set(run, packed, by(runtime), EVERY).frame["probability"]
    )


def test_by_default_the_fastest_that_passed_its_check(
    run: Run, exported: Exported, packed: PackedSet, bfloat16: bool
) -> None:
    found = predict_set(run, packed, Config())
    assert (found.note["runtime"], found.note["precision"]) == ("openvino", "int8")
    exact = predict_set(run, packed, by("auto"))
    assert exact.note["runtime"] == "openvino"
    assert np.abs(found.frame["probability"] - exact.frame["probability"]).mean() < 0.15
    assert found.note["export"]["check"]["passed"]
    if bfloat16:
        near = predict_set(run, packed, by("auto", "bfloat16"))
        assert near.note["runtime"] == "openvino"
        difference = np.abs(near.frame["logit"] - exact.frame["logit"]).max()
        assert 0 < difference < 0.2
    others = predict_set(of(exported, "openvino").parent, packed, by("auto"))  # a folder of exports
    assert others.frame.equals(exact.frame)


def test_int8_weights_overflow_on_no_processor(exported: Exported) -> None:
    model = onnx.load(of(exported, "onnx", "int8") / "model.onnx")
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(weights) > 2
    # two products with an activation of up to 255 are added in 16 bits where VNNI is missing
    assert all(2 * 255 * np.abs(w.astype(int)).max() < 2**15 for w in weights)


def test_the_check_says_what_predictions_show(
    run: Run, exported: Exported, packed: PackedSet
) -> None:
    expected = predict_set(run, packed, by("torch"), ["valid", "test"]).frame
    for export in exported.exports:
        check = export.record.check
        assert check is not None
        assert check.passed
        assert (check.patches, check.folds) == (len(expected), ("test", "valid"))
        assert check.auc == pytest.approx(roc_auc(expected["label"], expected["probability"]))
        if export.record.kind not in ("onnx", "openvino"):
            continue
        found = predict_set(export.folder, packed, Config(), ["valid", "test"]).frame
        assert check.auc_of_export == pytest.approx(roc_auc(found["label"], found["probability"]))
        largest = np.abs(found["probability"] - expected["probability"]).max()
        assert check.largest_probability_difference == pytest.approx(largest, abs=1e-6)


def test_torchscript_needs_nothing_of_this_package(
    run: Run, exported: Exported, packed: PackedSet
) -> None:
    expected = predict_set(run, packed, by("torch"), EVERY).frame["logit"]
    module = torch.jit.load(str(of(exported, "torchscript") / "model.pt"))
    found = module(torch.from_numpy(packed.images.copy()))
    assert np.allclose(found.numpy(), expected, atol=5e-5)


@pytest.mark.parametrize(
    ("kind", "name"), [("torchscript", "model"), ("wsinfer", "torchscript_model")]
)
def test_torchscript_refuses_patches_of_another_size(
    exported: Exported, kind: str, name: str
) -> None:
    module = torch.jit.load(str(of(exported, kind) / f"{name}.pt"))
    shape = [SIDE, SIDE, 3] if kind == "torchscript" else [3, SIDE, SIDE]
    kept = torch.zeros(2, *shape, dtype=torch.uint8)
    assert len(module(kept)) == 2
    wrong = [2 * SIDE if side == SIDE else side for side in shape]
    for other in (torch.zeros(2, *wrong, dtype=torch.uint8), kept[0], kept.flatten(1)):
        with pytest.raises(torch.jit.Error, match=re.escape(f"expected patches of shape {shape}")):
            module(other)


def test_the_softmax_of_wsinfer_gives_the_calibrated_probability(
    run: Run, exported: Exported, packed: PackedSet
) -> None:
    expected = predict_set(run, packed, by("torch"), EVERY).frame["probability"]
    folder = of(exported, "wsinfer")
    config = json.loads((folder / "config.json").read_text())
    assert config["class_names"][1] == "Tumor"
    assert config["num_classes"] == len(config["class_names"]) == 2
    assert (config["patch_size_pixels"], config["spacing_um_px"]) == (SIDE, 0.97)
    assert config["spec_version"] == "1.0"
    assert isinstance(config["architecture"], str)
    assert [t["name"] for t in config["transform"]] == ["Resize", "ToTensor"]
    module = torch.jit.load(str(folder / "torchscript_model.pt"))
    as_given = torch.from_numpy(packed.images.copy()).permute(0, 3, 1, 2).float() / 255
    two = torch.softmax(module(as_given), 1)
    assert np.allclose(two[:, 1].numpy(), expected, atol=1e-5)


def test_an_isotonic_calibration_and_gray_patches_go_into_wsinfers_model(run: Run) -> None:
    stairs = calibration(
        run,
        method="isotonic",
        slope=1.0,
        intercept=0.0,
        knots=((-0.5, 0.0), (-0.1, 0.2), (0.0, 0.5), (0.05, 0.5), (0.4, 1.0)),
    )
    gray = Preprocess(size=SIDE, channels="gray", mean=(0.3,), std=(0.2,))
    spec = tiny_spec().model_copy(update={"preprocess": gray})
    module = Whole(new_network(spec, 3).eval(), gray)
    patches = torch.randint(0, 256, (64, SIDE, SIDE, 3), dtype=torch.uint8)
    with torch.no_grad():
        logits = module(patches)
        two = ForWsinfer(module, stairs).eval()(patches.permute(0, 3, 1, 2).float() / 255)
    assert np.ptp(logits.numpy()) > 0.01
    expected = stairs.apply(logits.numpy())
    assert np.allclose(torch.softmax(two, 1)[:, 1].numpy(), expected, atol=1e-6)


def test_an_export_that_moves_the_auc_is_refused_unless_forced(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    copy = Run.open(
        Path(shutil.copytree(run.folder, tmp_path / "run", ignore=lambda *_: {"exports"}))
    )
    strict = ExportConfig(auc_tolerance=0.0, float32_tolerance=0.0, calibration_patches=5)
    said: list[str] = []
    made = export_run(copy, plans(["onnx"], ["float32"]), strict, check_set=packed, say=said.append)
    assert made.exports == ()
    assert re.search(
        r"moves a probability by .* more than the 0 that float32 may", str(made.refused)
    )
    assert re.fullmatch(
        r"onnx float32: largest difference of probability \S+, ROC AUC 0\.\d{4} \(\+0\.0000\) on "
        r"42 patches",
        said[0],
    )
    assert exports_in(copy.folder) == []
    made = export_run(
        copy, plans(["onnx"], ["float32"]), strict, check_set=packed, force=True, say=said.append
    )
    assert len(made.exports) == 1
    found = predict_set(copy, packed, Config())
    assert found.note["runtime"] == "torch"
    assert found.note["remarks"] == [
        "onnx float32 passed over: it did not pass a check when it was exported"
    ]
    asked = predict_set(copy, packed, by("onnx"))
    assert asked.note["remarks"][0].startswith("warning: onnx float32 did not pass a check")


def test_exports_half_written_damaged_or_for_another_device_are_not_in_the_way(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    folder = of(exported, "openvino")
    shutil.rmtree(copy / "exports", ignore_errors=True)
    shutil.copytree(folder, copy / "exports" / ".openvino-float32.partial")
    assert exports_in(copy) == []
    shutil.copytree(folder, copy / "exports" / "openvino-float32")
    with pytest.raises(InputError, match="an export is computed on the processor"):
        predict_set(copy, packed, by("openvino", "float32", "predict.device=cuda"))
    (copy / "exports" / "openvino-float32" / "export.json").write_text("{")
    assert predict_set(copy, packed, by("torch")).note["runtime"] == "torch"


def test_an_export_that_was_changed_is_refused(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(of(exported, "openvino"), tmp_path / "export"))
    record = json.loads((folder / "export.json").read_text())
    weights = folder / "model.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"model\.bin is not the file that was exported"):
        predict_set(folder, packed, Config())
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.bin is missing; export again"):
        predict_set(folder, packed, Config())
    weights.write_bytes(whole)
    cut = (folder / "model.xml").read_bytes()[:200]
    (folder / "model.xml").write_bytes(cut)
    files = record["files"] | {"model.xml": hash_file(folder / "model.xml")}
    write_json(folder / "export.json", record | {"files": files})
    with pytest.raises(CheckpointError, match="OpenVINO cannot load it"):
        predict_set(folder, packed, Config())
    write_json(folder / "export.json", record | {"channel_order": "BGR"})
    with pytest.raises(CheckpointError, match="channel_order: Input should be 'RGB', got 'BGR'"):
        predict_set(folder, packed, Config())
    write_json(folder / "export.json", record | {"format": 9})
    with pytest.raises(CheckpointError, match="has format 9, this version of sentinode reads 1"):
        predict_set(folder, packed, Config())
    (folder / "export.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged: expected JSON"):
        predict_set(folder, packed, Config())


def test_an_onnx_file_that_is_none_or_takes_something_else_is_refused(
    exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(of(exported, "onnx"), tmp_path / "export"))
    record = json.loads((folder / "export.json").read_text())

    def exchanged(content: bytes) -> None:
        (folder / "model.onnx").write_bytes(content)
        files = record["files"] | {"model.onnx": hash_file(folder / "model.onnx")}
        write_json(folder / "export.json", record | {"files": files})

    exchanged(b"no model")
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot load it"):
        predict_set(folder, packed, Config())
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["patches"], ["logit"])],
        "other",
        [tensor("patches", onnx.TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [tensor("logit", onnx.TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    exchanged(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    )
    with pytest.raises(CheckpointError, match=r"takes tensor\(float\) .* expected uint8"):
        predict_set(folder, packed, Config())


def test_an_export_of_other_weights_or_another_scale_is_not_taken(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    for path in copy.glob("exports/*/export.json"):
        record = json.loads(path.read_text())
        write_json(path, record | {"weights_sha256": "0" * 64})
    found = predict_set(copy, packed, Config())
    assert found.note["runtime"] == "torch"
    assert "openvino int8 passed over: made of other weights; export again" in found.note["remarks"]
    with pytest.raises(InputError, match=r"no usable int8 export .*made of other weights"):
        predict_set(copy, packed, by("auto", "int8"))
    other = small_set(tmp_path / "close", mpp=0.5)
    with pytest.raises(InputError, match=r"trained at 0\.97 µm/px, .* is at 0\.5 µm/px"):
        predict_set(of(exported, "openvino"), other, Config())
    with pytest.raises(InputError, match="none that can be run here"):
        predict_set(of(exported, "wsinfer"), packed, Config())
    with pytest.raises(InputError, match="give the run itself"):
        predict_set(of(exported, "onnx"), packed, by("torch"))


def test_exports_of_two_networks_do_not_share_a_folder(
    run: Run, exported: Exported, tmp_path: Path
) -> None:
    shutil.copytree(run.folder / "exports", tmp_path / "exports")
    for path in tmp_path.glob("exports/*/export.json"):
        record = json.loads(path.read_text())
        write_json(path, record | {"weights_sha256": "0" * 64})
    wanted = plans(["onnx"], ["float32"])
    with pytest.raises(InputError, match=r"holds exports of other weights .*choose another --out"):
        export_run(run, wanted, ExportConfig(), out=tmp_path / "exports", force=True)


@pytest.mark.parametrize("refused", [True, False])
def test_no_export_of_other_weights_stays_beside_new_ones(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path, refused: bool
) -> None:
    for precision in ("float32", "int8"):
        folder = tmp_path / f"onnx-{precision}"
        shutil.copytree(of(exported, "onnx", precision), folder)
        record = json.loads((folder / "export.json").read_text())
        write_json(folder / "export.json", record | {"weights_sha256": "0" * 64})
    strict = ExportConfig(calibration_patches=5, auc_tolerance=1, float32_tolerance=0.0)

    def export(*precisions: ExportPrecision, say: Callable[[str], None] = print) -> None:
        wanted = plans(["onnx"], precisions)
        export_run(run, wanted, strict, out=tmp_path, check_set=packed, say=say)

    def interrupt(line: str) -> None:
        if "float32" in line:
            raise KeyboardInterrupt

    if refused:
        export("int8", "float32")
    else:
        with pytest.raises(KeyboardInterrupt):
            export("int8", "float32", say=interrupt)
    (left,) = exports_in(tmp_path)
    assert (left.title, left.record.weights_sha256) == ("onnx int8", run.weights_hash)
    assert predict_set(tmp_path, packed, Config()).note["precision"] == "int8"


def test_an_export_that_is_refused_leaves_what_was_there(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    folder = tmp_path / "onnx-float32"
    shutil.copytree(of(exported, "onnx"), folder)
    record = json.loads((folder / "export.json").read_text())
    write_json(folder / "export.json", record | {"weights_sha256": "0" * 64})
    strict = ExportConfig(float32_tolerance=0.0)
    export_run(run, plans(["onnx"], ["float32"]), strict, out=tmp_path, check_set=packed)
    assert [e.record.weights_sha256 for e in exports_in(tmp_path)] == ["0" * 64]


def test_a_folder_with_exports_of_several_networks_predicts_nothing(
    exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    for name in ("onnx-float32", "onnx-int8"):
        shutil.copytree(of(exported, "onnx"), tmp_path / name)
    record = json.loads((tmp_path / "onnx-int8" / "export.json").read_text())
    write_json(tmp_path / "onnx-int8" / "export.json", record | {"weights_sha256": "0" * 64})
    with pytest.raises(InputError, match=r"several networks \(onnx-float32, onnx-int8\); give the"):
        predict_set(tmp_path, packed, Config())
    assert len(predict_set(tmp_path / "onnx-float32", packed, Config()).frame)


def test_a_run_calibrated_anew_gives_its_exports_the_new_calibration(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    calibration(run, slope=0.5, intercept=2.0).write(copy)
    found = predict_set(copy, packed, by("onnx")).frame
    expected = expit(0.5 * found["logit"].to_numpy(np.float64) + 2)
    assert np.allclose(found["probability"], expected, atol=1e-6)


def test_sets_that_cannot_check_or_calibrate_are_refused(run: Run, tmp_path: Path) -> None:
    config = ExportConfig()
    onnx_float = plans(["onnx"], ["float32"])
    with pytest.raises(InputError, match="an export is checked on real patches: name a packed set"):
        export_run(run, onnx_float, config, out=tmp_path)
    with pytest.raises(InputError, match="int8 is calibrated on training patches: name their"):
        export_run(run, plans(["onnx"], ["int8"]), config, out=tmp_path, force=True)
    unsplit = small_set(tmp_path / "unsplit")
    with pytest.raises(InputError, match="has no split; make one with"):
        export_run(run, plans(["onnx"], ["int8"]), config, out=tmp_path / "o", check_set=unsplit)
    with pytest.raises(InputError, match="no labelled patches of both classes"):
        export_run(
            run, onnx_float, config, out=tmp_path / "o", check_set=small_set(tmp_path / "1", 1)
        )
    other = small_set(tmp_path / "large", size=24)
    small_split(other)
    with pytest.raises(InputError, match=r"takes patches of 16 px, .* has 24 px"):
        export_run(run, onnx_float, config, out=tmp_path / "o", check_set=other)
    assert exports_in(tmp_path / "o") == []


def test_what_a_format_is_not_made_in_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert plans(["onnx", "wsinfer"], ["int8", "float32"]) == [
        ("onnx", "int8"),
        ("onnx", "float32"),
        ("wsinfer", "float32"),
    ]
    with pytest.raises(InputError, match="wsinfer is exported in float32, got int8"):
        plans(["wsinfer"], ["int8"])
    with pytest.raises(InputError, match="did you mean 'openvino'"):
        export_command("nodenet-base", formats=["openvin"])
    with pytest.raises(InputError, match="comes with the package, where nothing is written"):
        export_command("nodenet-base", force=True)


def test_exports_tell_of_no_machine_and_are_the_same_each_time(
    run: Run, exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    for export in exported.exports:
        names = set(export.record.files) | {"export.json"}
        assert {path.name for path in export.folder.iterdir()} == names
        for path in export.folder.iterdir():
            content = path.read_bytes()
            if path.suffix == ".pt":
                with zipfile.ZipFile(path) as file:
                    content = b"".join(file.read(name) for name in file.namelist())
            for word in (b".py(", str(Path.home()).encode() + b"/", str(run.folder).encode()):
                assert word not in content, path
        card = (export.folder / "README.md").read_text()
        assert "Research use only" in card
        assert run.weights_hash in card
    config = ExportConfig(calibration_patches=40, auc_tolerance=1)
    again = export_run(
        run, plans(["openvino"], ["float32", "int8"]), config, out=tmp_path, check_set=packed
    )
    for export in again.exports:
        first = of(exported, "openvino", export.record.precision)
        assert export.record.files == exports_in(first)[0].record.files
