"""Batches that are cut in parts, that are left with one patch, and steps that end early."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import sentinode.train.loop
from builders.sets import small_set, small_split, tiny_spec
from sentinode.config import Config, changed
from sentinode.errors import InputError, TrainingError
from sentinode.models import ModelSpec
from sentinode.models.nodenet import nodenet
from sentinode.models.sequential import Conv, GlobalAverage
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.types import Preprocess

TINY_NODENET = nodenet("tiny-nodenet", (1, 2, 2))


def patches_that_teach(split: Split) -> int:
    return sum(map(len, split.units["train"].values()))


@pytest.mark.parametrize("batch_size", [1, None])
def test_a_batch_of_one_patch_teaches_nodenet(
    quick: Config, tmp_path: Path, batch_size: int | None
) -> None:
    packed = small_set(tmp_path / "set", 40, size=96)
    split = small_split(packed)
    size = batch_size or patches_that_teach(split) - 1
    config = changed(quick, {"train.batch_size": size, "train.epochs": 2})
    whole = train(packed, split, config, tmp_path / "whole", spec=TINY_NODENET)
    state = whole.load().state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert all(v.min() > 0 for name, v in state.items() if name.endswith("running_var"))

    def stop(row: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(packed, split, config, tmp_path / "run", spec=TINY_NODENET, after_epoch=stop)
    again = train(packed, split, config, tmp_path / "run", spec=TINY_NODENET)
    assert again.weights_hash == whole.weights_hash


def test_what_force_began_goes_on(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out, epochs = tmp_path / "run", []
    train(packed, split, quick, out, spec=tiny_spec())
    other = changed(quick, {"train.seed": 7})
    whole = train(packed, split, other, tmp_path / "whole", spec=tiny_spec())

    def note(row: Any) -> None:
        epochs.append(int(row["epoch"]))
        if len(epochs) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(packed, split, other, out, spec=tiny_spec(), force=True, after_epoch=note)
    assert (out / "config.toml").is_file()  # the command may read its settings from there
    assert not (out / "history.csv").exists()
    again = train(packed, split, other, out, spec=tiny_spec(), force=True, after_epoch=note)
    assert epochs == [1, 2, 1, 2, 3, 4]
    assert capfd.readouterr().err.count("going on after epoch 2") == 1
    assert again.weights_hash == whole.weights_hash


def hungry(limit: int) -> Callable[..., torch.Tensor]:
    real = sentinode.train.loop.to_input

    def asked(batch: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
        return torch.empty(10**15) if len(batch) > limit else real(batch, preprocess)

    return asked


def test_a_batch_too_large_for_memory_is_halved_and_said(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sentinode.train.loop, "to_input", hungry(4))
    run = train(packed, split, quick, tmp_path / "run", spec=tiny_spec(dropout=0.0))
    said = capfd.readouterr().err
    assert "a batch of 8 patches does not fit in memory; going on with 4 at once" in said
    monkeypatch.undo()
    halves = changed(quick, {"train.batch_size": 4, "train.accumulate": 2})
    asked = train(packed, split, halves, tmp_path / "asked", spec=tiny_spec(dropout=0.0))
    assert asked.weights_hash == run.weights_hash
    monkeypatch.setattr(sentinode.train.loop, "to_input", hungry(0))
    with pytest.raises(TrainingError, match="a batch of 1 patches does not fit"):
        train(packed, split, quick, tmp_path / "none", spec=tiny_spec())


def test_a_step_keeps_its_patches_whatever_the_batch_is_cut_into(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(quick, {"train.batch_size": 10})
    monkeypatch.setattr(sentinode.train.loop, "to_input", hungry(4))
    run = train(packed, split, config, tmp_path / "run", spec=tiny_spec(dropout=0.0))
    monkeypatch.undo()
    fifths = changed(quick, {"train.batch_size": 2, "train.accumulate": 5})
    asked = train(packed, split, fifths, tmp_path / "asked", spec=tiny_spec(dropout=0.0))
    assert asked.weights_hash == run.weights_hash


def test_a_last_step_of_fewer_batches_is_the_mean_over_its_patches(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    layers = [Conv(filters=4), GlobalAverage()]
    plain = ModelSpec(
        name="plain",
        builder="sentinode.models.sequential:build_sequential",
        args={"layers": [layer.model_dump(mode="json") for layer in layers]},
        preprocess=tiny_spec().preprocess,
        explain_layer="layers.relu1",
        dense_exact=False,
        licence="Apache-2.0",
    )
    n = patches_that_teach(split)
    once = {"train.optimizer": "sgd", "train.epochs": 1, "train.learning_rate": 0.5}
    states = []
    for size, accumulate in ((n, 1), (math.ceil(n / 2) + 3, 4), (5, n)):
        batches = {"train.batch_size": size, "train.accumulate": accumulate}
        out = tmp_path / f"{size}"
        run = train(packed, split, changed(quick, once | batches), out, spec=plain)
        states.append(run.load().state_dict())
    for name, tensor in states[0].items():
        for other in states[1:]:
            torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_memory_that_runs_out_in_validation_is_no_dead_end(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    real, largest = sentinode.train.loop.forward, 4

    def asked(network: Any, shown: Iterable[torch.Tensor], *rest: Any) -> Any:
        given = list(shown)
        if max(map(len, given)) > largest:
            raise InputError("a batch does not fit") from MemoryError()
        return real(network, given, *rest)

    monkeypatch.setattr(sentinode.train.loop, "forward", asked)
    train(packed, split, quick, tmp_path / "run", spec=tiny_spec())
    said = capfd.readouterr().err
    assert "does not fit" not in said  # the batches that teach do
    assert "epoch 4 of 4" in said
    largest = 0
    with pytest.raises(TrainingError, match="not one patch can be validated"):
        train(packed, split, quick, tmp_path / "none", spec=tiny_spec())


def test_memory_that_runs_out_in_the_first_step_is_no_dead_end(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = sentinode.train.loop.take_step, []

    def asked(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 1:
            raise RuntimeError("cannot allocate memory for the moments")
        real(*given)

    monkeypatch.setattr(sentinode.train.loop, "take_step", asked)
    run = train(packed, split, quick, tmp_path / "run", spec=tiny_spec(dropout=0.0))
    monkeypatch.undo()
    halves = changed(quick, {"train.batch_size": 4, "train.accumulate": 2})
    asked_for = train(packed, split, halves, tmp_path / "asked", spec=tiny_spec(dropout=0.0))
    assert asked_for.weights_hash == run.weights_hash
