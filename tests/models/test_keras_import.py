"""Files that Keras 2 and 3 wrote themselves; `benchmarks/keras_import.py --golden` makes them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.models import Run, choose_compute, import_keras
from sentinode.predict import forward

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(p.name for p in GOLDEN.iterdir() if p.suffix in (".h5", ".keras"))


def test_golden_files_are_there() -> None:
    assert len(FILES) == 12


@pytest.mark.parametrize("name", FILES)
def test_probabilities_are_those_of_keras(name: str, tmp_path: Path) -> None:
    run = import_keras(GOLDEN / name, tmp_path / "run")
    network, compute = run.load(), choose_compute("cpu", "float32")
    images = torch.from_numpy(np.load(GOLDEN / "images.npy"))
    logits = forward(network, [images], run.spec.preprocess, compute)
    expected = np.load((GOLDEN / name).with_suffix(".npy"))
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=2e-6)


def edited(name: str, path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """Copy a golden HDF5 file and change its layers' configuration."""
    shutil.copy(GOLDEN / name, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def of(layers: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(layer for layer in layers if layer["class_name"] == kind)


def config(kind: str, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda layers: of(layers, kind)["config"].update(values)


def without(kind: str, key: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda layers: of(layers, kind)["config"].pop(key)


def kind(old: str, new: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda layers: of(layers, old).update(class_name=new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (kind("MaxPooling2D", "AveragePooling2D"), r"max_pooling2d.* \(AveragePooling2D\) cannot"),
        (kind("Dropout", "Lambda"), r"dropout.* \(Lambda\) cannot be imported"),
        (config("Conv2D", strides=[2, 2]), r"conv2d.*strides is \[2, 2\], expected \[1, 1\]"),
        (config("Conv2D", activation="elu"), r"conv2d.*activation 'elu', expected relu or linear"),
        (config("Conv2D", kernel_size=[3, 2]), r"conv2d.*kernel_size is \(3, 2\)"),
        (config("Conv2D", filters=5), r"conv2d.*its arrays have shapes"),
        (config("MaxPooling2D", strides=[1, 1]), r"max_pooling2d.*strides \[1, 1\]"),
        (config("BatchNormalization", axis=1), r"batch_normalization.*axis is 1"),
        (config("BatchNormalization", momentum=1.0), r"batch_normalization.*imported: momentum"),
        (config("Dropout", rate=1.0), r"dropout.*imported: rate"),
        (config("MaxPooling2D", pool_size=[1, 1], strides=[1, 1]), r"max_pooling2d.*imported: siz"),
        (config("MaxPooling2D", data_format="channels_first"), r"max_pooling2d.*data_format"),
        (without("Conv2D", "filters"), r"conv2d.*its configuration has no 'filters'"),
        (config("Dense", units=7), r"dense.*its arrays have shapes"),
        (lambda layers: layers.pop(), r"does not end in a dense layer of 1 or 2 units"),
        (lambda layers: layers.append(layers[1]), r"conv2d.*stands behind the output"),
        (lambda layers: layers.insert(1, of(layers, "Dense")), r"dense.*put a Flatten before it"),
    ],
)
def test_what_has_no_counterpart_is_an_error_naming_the_layer(
    change: Callable[[list[dict[str, Any]]], None], message: str, tmp_path: Path
) -> None:
    path = edited("first-keras3.h5", tmp_path / "model.h5", change)
    with pytest.raises(InputError, match=message):
        import_keras(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_in_another_order_are_refused(tmp_path: Path) -> None:
    change = config("Flatten", data_format="channels_first")
    path = edited("second-keras3.h5", tmp_path / "model.h5", change)
    with pytest.raises(InputError, match=r"flatten.*data_format is channels_first"):
        import_keras(path, tmp_path / "run")


def test_the_range_of_pixels_may_be_said(tmp_path: Path) -> None:
    scales = {}
    for pixels in ("auto", "0-1", "0-255"):
        golden = GOLDEN / "odd-keras3.h5"
        run = import_keras(golden, tmp_path / pixels, pixels=pixels)  # type: ignore[arg-type]
        scales[pixels] = run.spec.preprocess.std
    assert scales["auto"] == scales["0-255"] != scales["0-1"]


def test_branches_are_refused(tmp_path: Path) -> None:
    def branch(layers: list[dict[str, Any]]) -> None:
        layers[3]["inbound_nodes"] = layers[2]["inbound_nodes"]

    path = edited("odd-keras3.h5", tmp_path / "model.h5", branch)
    with pytest.raises(InputError, match="its layers branch; only chains"):
        import_keras(path, tmp_path / "run")


def weights_alone(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]


def first_array(file: h5py.File) -> tuple[h5py.Group, str]:
    """Return the group of the first convolution, and the name of its first array."""
    weights = file["model_weights"]
    group = weights[next(name for name in weights if name.startswith("conv2d"))]
    found: list[str] = []
    group.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
    return group, found[0]


def outside(path: Path) -> None:
    """Weights that point into another file."""
    with h5py.File(path, "r+") as file:
        group, name = first_array(file)
        del group[name]
        group[name] = h5py.ExternalLink("/etc/passwd", "/")


def weights_elsewhere(path: Path) -> None:
    """All weights in another file of Keras."""
    other = path.with_name("other.h5")
    shutil.copy(path, other)
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(str(other), "/model_weights")


def weights_by_a_detour(path: Path) -> None:
    """All weights in another file, behind a link within this one."""
    weights_elsewhere(path)
    with h5py.File(path, "r+") as file:
        file.move("model_weights", "x")
        file["model_weights"] = h5py.SoftLink("/x")


def layer_elsewhere(path: Path) -> None:
    """The weights of one layer in another file of Keras."""
    other = path.with_name("other.h5")
    shutil.copy(path, other)
    with h5py.File(path, "r+") as file:
        name = first_array(file)[0].name
        del file[name]
        file[name] = h5py.ExternalLink(str(other), name)


def external(path: Path) -> None:
    """Weights whose bytes are those of another file."""
    with h5py.File(path, "r+") as file:
        group, name = first_array(file)
        shape = group[name].shape
        del group[name]
        group.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, 10**6)])


def not_numbers(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        first = next(name for name in group if name.startswith("conv2d"))
        group[first].visititems(
            lambda n, o: (
                o.write_direct(np.full(o.shape, np.nan, np.float32))
                if isinstance(o, h5py.Dataset)
                else None
            )
        )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (weights_alone, r"holds weights without their model; save it with model\.save"),
        (lambda p: p.write_bytes(p.read_bytes()[:9000]), "is damaged"),
        (lambda p: p.write_bytes(b"\x80\x04pickle"), r"is no file of Keras: expected HDF5"),
        (outside, "is damaged"),
        (weights_elsewhere, "model_weights lies in another file, refused"),
        (weights_by_a_detour, "model_weights lies in another file, refused"),
        (layer_elsewhere, "conv2d.* lies in another file, refused"),
        (external, "takes its values from another file"),
        (not_numbers, "holds values that are no numbers"),
    ],
)
def test_damaged_and_hostile_files(
    damage: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.h5"
    shutil.copy(GOLDEN / "first-keras3.h5", path)
    damage(path)
    with pytest.raises(CheckpointError, match=message):
        import_keras(path, tmp_path / "run")


def test_a_layer_elsewhere_in_a_zip_is_refused(tmp_path: Path) -> None:
    path, inner, other = (tmp_path / name for name in ("m.keras", "w.h5", "other.h5"))
    with zipfile.ZipFile(GOLDEN / "first-keras3.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner.write_bytes(parts["model.weights.h5"])
    shutil.copy(inner, other)
    with h5py.File(inner, "r+") as file:
        del file["layers/conv2d"]
        file["layers/conv2d"] = h5py.ExternalLink(str(other), "/layers/conv2d")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (parts | {"model.weights.h5": inner.read_bytes()}).items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="conv2d lies in another file"):
        import_keras(path, tmp_path / "run")


def test_damaged_bytes_in_a_zip_and_no_layers_are_said(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(GOLDEN / "first-keras3.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        start = archive.getinfo("model.weights.h5").header_offset
    whole = bytearray(path.read_bytes())
    whole[start + 60 : start + 90] = bytes(30)
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="is damaged"):
        import_keras(path, tmp_path / "run")
    empty = edited("first-keras3.h5", tmp_path / "model.h5", lambda layers: layers.clear())
    with pytest.raises(CheckpointError, match="is damaged"):
        import_keras(empty, tmp_path / "run")


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_leaves_the_run_that_is_there(tmp_path: Path, mpp: float) -> None:
    golden, out = GOLDEN / "first-keras3.h5", tmp_path / "run"
    run = import_keras(golden, out)
    with pytest.raises(InputError, match=r"mpp is a size in µm above 0, got"):
        import_keras(golden, out, mpp=mpp, force=True)
    assert Run.open(out).weights_hash == run.weights_hash


def test_names_may_be_long_and_in_any_script(tmp_path: Path) -> None:
    def renamed(layers: list[dict[str, Any]]) -> None:
        for layer in layers[1:3]:
            layer["config"]["name"] += "_größe"
        text = json.dumps(layers, ensure_ascii=False)
        for layer in layers[1:3]:
            new = layer["config"]["name"]
            text = text.replace(f'["{new.removesuffix("_größe")}"', f'["{new}"')
        layers[:] = json.loads(text)

    path = edited("odd-keras3.h5", tmp_path / "odd-keras3.h5", renamed)
    with h5py.File(path, "r+") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        for layer in layers[1:3]:
            new = layer["config"]["name"]
            file["model_weights"].move(new.removesuffix("_größe"), new)
    run = import_keras(path, tmp_path / "run")
    long = shutil.copy(path, tmp_path / ("a" * 200 + ".h5"))
    assert import_keras(Path(long), tmp_path / "c").spec.name == "keras-" + "a" * 100
    assert run.weights_hash == import_keras(GOLDEN / "odd-keras3.h5", tmp_path / "b").weights_hash


def test_an_image_that_is_too_small_is_said(tmp_path: Path) -> None:
    change = config("InputLayer", batch_shape=[None, 6, 6, 3])
    path = edited("first-keras3.h5", tmp_path / "model.h5", change)
    with pytest.raises(InputError, match=r"size: Input should be greater than or equal to 8"):
        import_keras(path, tmp_path / "run")


def test_zip_with_parts_missing(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(CheckpointError, match=r"is damaged.*model\.weights\.h5"):
        import_keras(path, tmp_path / "run")
    with pytest.raises(MissingInputError, match="no file"):
        import_keras(tmp_path / "none.h5", tmp_path / "run")


def test_a_run_is_replaced_only_by_asking(tmp_path: Path) -> None:
    import_keras(GOLDEN / "first-keras3.keras", tmp_path / "run")
    with pytest.raises(InputError, match="--force"):
        import_keras(GOLDEN / "second-keras3.keras", tmp_path / "run")
    run = import_keras(GOLDEN / "second-keras3.keras", tmp_path / "run", force=True)
    assert run.spec.name == "keras-second-keras3"


def test_files_that_are_no_run_s_are_left(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("of Keras")
    (tmp_path / "config.toml").write_text("mine")
    import_keras(GOLDEN / "first-keras3.keras", tmp_path)
    assert (tmp_path / "history.csv").read_text() == "of Keras"
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_a_calibration_does_not_outlive_its_run(tmp_path: Path) -> None:
    import_keras(GOLDEN / "first-keras3.keras", tmp_path / "run")
    (tmp_path / "run" / "calibration.json").write_text("{}")
    run = import_keras(GOLDEN / "second-keras3.keras", tmp_path / "run", force=True)
    assert run.calibration() is None


def test_command(tmp_path: Path) -> None:
    command = ["import-keras", str(GOLDEN / "first-keras2.h5"), "--out", str(tmp_path / "run")]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert "CNN_16x16x3_C3-3-6-6-13-13_FC6-1-GAP_relu_" in said.output
    assert "from Keras 2" in said.output
