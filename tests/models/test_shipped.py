import shutil
from pathlib import Path

import pytest
import torch

from sentinode.core import hash_file, run_folder, weight_names
from sentinode.models import resolve_run, state_of, summarise

LARGEST = 10_000_000  # bytes


@pytest.mark.parametrize("name", weight_names())
def test_shipped_weights_are_whole_small_calibrated_and_told_of(name: str) -> None:
    run = resolve_run(name)
    assert run.spec.name == name
    assert (run.folder / "model.safetensors").stat().st_size <= LARGEST
    for file, expected in run.record.files.items():
        assert hash_file(run.folder / file) == expected, file
    calibration = run.calibration()
    assert calibration is not None
    assert calibration.after["log_loss"] < calibration.before["log_loss"]
    card = (run.folder / "card.md").read_text(encoding="utf-8")
    assert "Research use only" in card
    assert f"{summarise(run.spec).parameters:,} parameters" in card
    assert run.members or len(run.history()) > 1


def test_large_holds_base_as_it_is_shipped() -> None:
    large, base = resolve_run("nodenet-large"), resolve_run("nodenet-base")
    assert base.weights_hash in large.members
    whole, part = state_of(large.load()), state_of(base.load())
    for name, values in part.items():
        if name.startswith("features"):
            found = whole.get(name.replace("weight", "0.weight"), whole.get(name))
            assert found is not None, name
            assert torch.equal(found[: len(values)], values), name


def test_nodenet_is_shipped() -> None:
    assert {"nodenet-small", "nodenet-base", "nodenet-large"} <= set(weight_names())


def test_a_folder_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run_folder("nodenet-base"), tmp_path / "nodenet-base")
    monkeypatch.chdir(tmp_path)
    assert run_folder("nodenet-base") == Path("nodenet-base")
    assert resolve_run("nodenet-base").folder == Path("nodenet-base")
