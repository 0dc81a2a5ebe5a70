import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import rotate
from typer.testing import CliRunner

from builders.sets import small_set, small_split, tiny_spec
from sentinode.cli.main import app
from sentinode.config import Config, load_config
from sentinode.core import folder_lock, provenance
from sentinode.data.loader import to_input
from sentinode.errors import BusyError, CheckpointError, InputError, MissingInputError
from sentinode.models import Run
from sentinode.predict import Predictor, TorchRuntime, chunks, predict, predict_file, predict_set
from sentinode.tables import Calibration, Manifest, PackedSet, Predictions, Split
from sentinode.train import train


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    packed = small_set(tmp_path_factory.mktemp("predict") / "set", mpp=0.97)
    small_split(packed)
    return packed


@pytest.fixture(scope="module")
def run(packed: PackedSet) -> Run:
    config = load_config(
        None, ["train.epochs=1", "train.batch_size=8", "train.precision=float32", "train.threads=1"]
    )
    split = Split.read(packed.folder / "split.json")
    return train(packed, split, config, packed.folder.parent / "run", spec=tiny_spec())


def test_probabilities_are_those_of_a_plain_forward_pass(run: Run, packed: PackedSet) -> None:
    config = load_config(None, ["predict.batch_size=7"])
    table = predict_set(run, packed, config, folds=["train", "valid", "test", "unlabelled"]).frame
    assert table["id"].tolist() == packed.manifest.frame["id"].tolist()
    network = run.load()
    with torch.no_grad():
        for row in (0, 13, 95):
            image = torch.from_numpy(packed.images[row : row + 1].copy())
            logit = network(to_input(image, run.spec.preprocess)).item()
            assert table["logit"][row] == pytest.approx(logit, abs=1e-5)
            assert table["probability"][row] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    for column in ("slide", "x", "y", "label"):
        assert table[column].equals(packed.manifest.frame[column]), column


def test_training_patches_are_left_out_unless_asked_for(run: Run, packed: PackedSet) -> None:
    split = Split.read(packed.folder / "split.json")
    table = predict_set(run, packed, Config()).frame
    assert set(table["fold"]) == {"valid", "test", "unlabelled"}
    assert table["fold"].equals(split.folds_of(table["id"]))
    only = predict_set(run, packed, Config(), folds=["test"]).frame
    assert set(only["id"]) == set(split.units["test"])


def test_excluded_patches_are_not_predicted(run: Run, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set")
    frame = packed.manifest.frame.copy()
    frame.loc[3, "excluded"] = "near-black"
    frame.loc[5, "problem"] = "unreadable"
    Manifest.make(frame, {}).write(packed.folder / "manifest.parquet")
    table = predict_set(run, PackedSet.open(packed.folder), Config()).frame
    assert set(frame["id"]) - set(table["id"]) == {"p0003", "p0005"}
    assert table["fold"].isna().all()
    with pytest.raises(InputError, match="--folds needs a split"):
        predict_set(run, packed, Config(), folds=["test"])


def test_the_same_input_gives_the_same_bytes(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet", "a.csv", "b.csv"):
        predict_set(run, packed, Config()).write(tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    note = Predictions.read(tmp_path / "a.parquet").note
    assert note["weights_sha256"] == run.weights_hash
    assert note["provenance"]["inputs"]["input"] == packed.meta.content_hash
    assert (note["runtime"], note["precision"]) == ("torch", "float32")
    assert str(tmp_path.parent).encode() not in (tmp_path / "a.parquet").read_bytes()


def test_bfloat16_stays_near_float32(run: Run, packed: PackedSet) -> None:
    exact = predict_set(run, packed, Config()).frame["probability"]
    config = load_config(None, ["predict.precision=bfloat16"])
    assert np.allclose(predict_set(run, packed, config).frame["probability"], exact, atol=0.02)


def test_patches_the_network_was_not_made_for_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes patches of 16 px, .* has 24 px"):
        predict_set(run, small_set(tmp_path / "large", size=24), Config())
    with pytest.raises(InputError, match=r"trained at 0\.97 µm/px, .* is at 0\.5 µm/px"):
        predict_set(run, small_set(tmp_path / "close", mpp=0.5), Config())


def test_another_split_of_the_training_set_would_leak(run: Run, tmp_path: Path) -> None:
    again = small_set(tmp_path / "set", mpp=0.97)
    split = small_split(again, write=False)
    units = {**split.units, "train": split.units["test"], "test": split.units["train"]}
    split.model_copy(update={"units": units}).write(again.folder / "split.json")
    with pytest.raises(InputError, match="trained on another split"):
        predict_set(run, again, Config())
    assert len(predict_set(run, again, Config(), folds=["train", "test"]).frame)


def test_a_split_of_another_state_of_the_set_is_refused(run: Run, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", seed=1)
    split = small_split(packed, write=False).model_copy(update={"manifest_hash": "0"})
    split.write(packed.folder / "split.json")
    with pytest.raises(InputError, match="another state of this set"):
        predict_set(run, packed, Config())


def test_weights_that_were_exchanged_are_refused(run: Run, packed: PackedSet) -> None:
    path = run.folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(CheckpointError, match=r"not the file that run\.json recorded"):
            predict_set(run, packed, Config())
    finally:
        path.write_bytes(whole)


def images_of(packed: PackedSet, folder: Path, rows: range) -> Path:
    for row in rows:
        name = packed.manifest.frame["id"].iloc[row]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(packed.images[row]).save(folder / f"{name}.png")
    return folder


def test_a_folder_of_images_is_predicted_as_the_set(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    folder = images_of(packed, tmp_path / "images", range(20, 60))
    config = load_config(None, ["predict.batch_size=7"])
    found = predict(run, folder, config)
    table = found.frame.set_index("id")
    every = predict_set(run, packed, config, folds=["train", "valid", "test"]).frame.set_index("id")
    assert len(table) == 40
    assert np.allclose(table["logit"], every["logit"].loc[table.index], atol=1e-5)
    assert table["fold"].isna().all()
    assert found.note["left_out"] == {}
    (folder / "p0020.png").touch()
    assert predict(run, folder, config).note == found.note
    images_of(packed, folder, range(60, 61))
    assert predict(run, folder, config).note != found.note


def test_one_image_is_enough(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    folder = images_of(packed, tmp_path / "images", range(2))
    table = predict(run, folder / "p0001.png", Config()).frame
    assert table["id"].tolist() == ["p0001"]


def test_class_folders_keep_labels_and_folds(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    for fold, rows in (("train", range(4)), ("valid", range(4, 8))):
        for row in rows:
            label = packed.manifest.frame["label"].iloc[row]
            images_of(packed, tmp_path / "images" / fold / str(label), range(row, row + 1))
    table = predict(run, tmp_path / "images", Config()).frame
    assert table["id"].str.startswith("valid/").all()
    assert (table["label"].tolist(), set(table["fold"])) == ([0, 0, 1, 1], {"valid"})
    assert len(predict(run, tmp_path / "images", Config(), folds=["train"]).frame) == 4
    with pytest.raises(InputError, match="no usable patch to predict in the folds asked for"):
        predict(run, tmp_path / "images", Config(), folds=["test"])


def test_gzipped_hdf5_is_unpacked_first(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    plain, path = tmp_path / "x.h5", tmp_path / "x.h5.gz"
    with h5py.File(plain, "w") as file:
        file["x"] = packed.images[:5]
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = np.arange(5).reshape(5, 1, 1, 1) % 2
    found = predict(run, path, Config()).frame
    every = predict_set(run, packed, Config(), folds=["train", "valid", "test"]).frame
    assert np.allclose(found["logit"], every["logit"][:5], atol=1e-5)


def test_a_patch_that_cannot_be_used_is_left_out_and_named(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    folder = images_of(packed, tmp_path / "images", range(4))
    (folder / "p0002.png").write_text("no image")
    Image.new("RGB", (17, 16)).save(folder / "p0003.png")
    found = predict(run, folder, Config())
    assert found.frame["id"].tolist() == ["p0000", "p0001"]
    assert found.note["left_out"]["p0003"] == "wrong size: 17x16 px, the network takes 16x16"
    assert found.note["left_out"]["p0002"].startswith("unreadable")
    with pytest.raises(InputError, match="no patch that can be used: 1 left out, 'p0003'"):
        predict(run, folder / "p0003.png", Config())
    with pytest.raises(MissingInputError):
        predict(run, tmp_path / "nowhere", Config())


def test_a_runs_calibration_makes_the_probability_and_leaves_the_logit(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    plain = predict_set(run, packed, Config())
    assert "calibration" not in plain.note
    copy = Run.open(Path(shutil.copytree(run.folder, tmp_path / "run")))
    made = Calibration(
        method="platt",
        slope=2.0,
        intercept=-1.0,
        weights_sha256=run.weights_hash,
        fitted_on="100 patches",
        patches=100,
        before={},
        after={},
        provenance=provenance("calibrate"),
    )
    made.write(copy.folder)
    table = predict_set(copy, packed, Config())
    assert table.frame["logit"].equals(plain.frame["logit"])
    logit = plain.frame["logit"].to_numpy(np.float64)
    expected = 1 / (1 + np.exp(1 - 2 * logit))
    assert table.frame["probability"].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert table.note["calibration"]["slope"] == 2.0
    left = predict_set(copy, packed, load_config(None, ["predict.calibrated=false"]))
    assert left.frame.equals(plain.frame)


def test_a_list_of_paths_is_predicted(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    folder = images_of(packed, tmp_path / "images", range(3))
    listed = tmp_path / "some.txt"
    listed.write_text(f"\n images/p0000.png \n{folder / 'p0002.png'}\nimages/none.png\n")
    found = predict(run, listed, Config())
    assert found.frame["id"].tolist() == ["images/p0000", "images/p0002"]
    assert found.note["left_out"] == {"images/none": "missing: there is no such file"}
    listed.write_text("\n")
    with pytest.raises(InputError, match="no paths in it"):
        predict(run, listed, Config())


def test_d4_is_the_mean_logit_of_the_eight_orientations(run: Run, packed: PackedSet) -> None:
    config = load_config(None, ["predict.d4=true"])
    found = predict_set(run, packed, config, folds=["test"])
    assert found.note["orientations"] == 8
    network = run.load()
    row = packed.manifest.frame["id"].tolist().index(found.frame["id"].iloc[0])
    image = packed.images[row]
    each = []
    for flipped in (image, np.flipud(image)):
        for turns in range(4):
            turned = torch.from_numpy(np.rot90(flipped, turns)[None].copy())
            with torch.no_grad():
                each.append(network(to_input(turned, run.spec.preprocess)).item())
    assert np.ptp(each) > 1e-3
    assert found.frame["logit"].iloc[0] == pytest.approx(np.mean(each), abs=1e-5)


def test_angles_are_the_mean_logit_of_turned_patches(run: Run, packed: PackedSet) -> None:
    found = predict_set(run, packed, load_config(None, ["predict.angles=3"]), folds=["test"])
    assert found.note["orientations"] == 3
    row = packed.manifest.frame["id"].tolist().index(found.frame["id"].iloc[0])
    image, network, each = packed.images[row].astype(np.float32), run.load(), []
    for degrees in (0, 30, 60):
        turned = rotate(image, degrees, order=1, reshape=False, mode="reflect").round()
        inputs = torch.from_numpy(turned.clip(0, 255).astype(np.uint8)[None])
        with torch.no_grad():
            each.append(network(to_input(inputs, run.spec.preprocess)).item())
    assert np.ptp(each) > 1e-3
    assert found.frame["logit"].iloc[0] == pytest.approx(np.mean(each), abs=2e-3)


def test_angles_of_eight_orientations(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    command = ["predict", str(run.folder), str(packed.folder), "--angles", "2", "--d4"]
    done = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "16 views of each" in done.output
    assert Predictions.read(out).note["orientations"] == 16


def test_shades_are_the_mean_logit_of_paler_and_darker_patches(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    out = tmp_path / "p.parquet"
    command = ["predict", str(run.folder), str(packed.folder), "--shades", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "3 views of each" in done.output
    found = Predictions.read(out)
    assert found.note["orientations"] == 3
    row = packed.manifest.frame["id"].tolist().index(found.frame["id"].iloc[0])
    image, network, each = packed.images[row].astype(np.float64), run.load(), []
    through = (image + 1) / 256  # the share of the light that comes through
    for shade in (through, through**0.6, through * np.exp(-0.2)):
        seen = np.clip(256 * shade - 1, 0, 255).round().astype(np.uint8)[None]
        with torch.no_grad():
            each.append(network(to_input(torch.from_numpy(seen), run.spec.preprocess)).item())
    assert np.ptp(each) > 1e-3
    assert found.frame["logit"].iloc[0] == pytest.approx(np.mean(each), abs=1e-4)
    turned = load_config(None, ["predict.shades=true", "predict.angles=2"])
    assert predict_set(run, packed, turned, folds=["test"]).note["orientations"] == 6
    angles = predict_set(run, packed, load_config(None, ["predict.angles=3"]), folds=["test"])
    assert "shades" not in angles.note
    assert found.note["shades"] == 3
    assert Predictor(run, load_config(None, ["predict.angles=3"]).predict).made_by != (
        Predictor(run, load_config(None, ["predict.shades=true"]).predict).made_by
    )


def test_interrupted_it_goes_on_and_ends_in_the_same_bytes(
    run: Run, packed: PackedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 16)
    config = load_config(None, ["predict.batch_size=8"])
    folder = images_of(packed, tmp_path / "images", range(70))
    (folder / "p0003.png").write_text("no image")
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    predict_file(run, folder, whole, config)
    calls: list[int] = []
    logits = TorchRuntime.logits

    def failing(self: TorchRuntime, patches: np.ndarray) -> np.ndarray:
        calls.append(len(patches))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return logits(self, patches)

    monkeypatch.setattr(TorchRuntime, "logits", failing)
    with pytest.raises(KeyboardInterrupt):
        predict_file(run, folder, broken, config)
    assert not broken.exists()
    assert len(list(tmp_path.glob(".broken.parquet.work/*.npz"))) == 2
    predict_file(run, folder, broken, config)
    assert len(calls) == 6 + 5  # of nine batches, four were kept
    assert broken.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*.work"))


def test_chunks_of_another_network_or_input_are_not_taken(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    folder = images_of(packed, tmp_path / "images", range(8))
    work, config = tmp_path / "work", load_config(None, ["predict.batch_size=4"])
    first = predict(run, folder, config, work=work)
    kept = work / "000000.npz"
    with np.load(kept) as file:
        forged = {name: file[name] for name in file.files}
    np.savez(kept, **forged | {"logits": forged["logits"] + 1})
    again = predict(run, folder, config, work=work)
    assert np.allclose(again.frame["logit"], first.frame["logit"] + 1)  # kept, not computed
    images_of(packed, folder, range(8, 9))
    assert predict(run, folder, config, work=work).frame["logit"][0] == first.frame["logit"][0]
    kept.write_bytes(kept.read_bytes()[:50])  # cut short: computed anew
    assert predict(run, folder, config, work=work).frame["logit"][0] == first.frame["logit"][0]


def test_two_commands_cannot_write_one_file(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with folder_lock(tmp_path / ".p.csv.work"), pytest.raises(BusyError, match="another"):
        predict_file(run, packed.folder, out, Config())
    predict_file(run, packed.folder, out, Config())
    note = json.loads((tmp_path / "p.csv.json").read_text())
    assert note["notice"].startswith("Research use only")
    with pytest.raises(InputError, match=r"\.parquet or \.csv, got p\.txt"):
        predict_file(run, packed.folder, tmp_path / "p.txt", Config())


def test_what_is_not_there_is_said_with_the_way_to_it(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    config = load_config(None, ["predict.precision=int8"])
    with pytest.raises(InputError, match=r"no usable int8 export \(there: none\); make one with"):
        predict_set(run, packed, config)
    config = load_config(None, ["predict.precision=int8", "predict.runtime=torch"])
    with pytest.raises(InputError, match="torch computes in float32 or bfloat16"):
        predict_set(run, packed, config)
    with pytest.raises(MissingInputError, match="no run at"):
        predict_set(tmp_path / "nowhere", packed, Config())
    assert predict_set(run.folder, packed, Config()).note["runtime"] == "torch"
