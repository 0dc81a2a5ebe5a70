"""Statistics of batch normalisation, measured anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import BatchNorm2d

import sentinode.train.loop
from builders.sets import QUICK, tiny_spec
from sentinode.config import TrainConfig, load_config
from sentinode.data.loader import to_input
from sentinode.models import choose_compute, new_network
from sentinode.models.nodenet import nodenet
from sentinode.models.orbit import OrbitNorm
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import renew_norms, train

COMPUTE = choose_compute("cpu", "float32", 1)


def images(n: int, side: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8))


def test_statistics_are_means_over_the_batches() -> None:
    spec = tiny_spec()
    network = new_network(spec, 1)
    first = next(m for m in network.modules() if isinstance(m, BatchNorm2d))
    came: list[torch.Tensor] = []
    first.register_forward_pre_hook(lambda module, args: came.append(args[0].detach()))
    shown = list(images(12, spec.preprocess.size).split(4))
    before = {name: p.clone() for name, p in network.named_parameters()}
    momentum = first.momentum
    assert renew_norms(network, shown, spec.preprocess, COMPUTE) >= 1
    means = torch.stack([batch.mean((0, 2, 3)) for batch in came]).mean(0)
    variances = torch.stack([batch.var((0, 2, 3)) for batch in came]).mean(0)
    torch.testing.assert_close(first.running_mean, means)
    torch.testing.assert_close(first.running_var, variances)
    assert first.momentum == momentum
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    # In use the network computes what it computed in training, on the whole as one batch.
    whole = torch.cat(shown)
    renew_norms(network, [whole], spec.preprocess, COMPUTE)
    expected = network(to_input(whole, spec.preprocess))
    first.train()
    torch.testing.assert_close(
        network(to_input(whole, spec.preprocess)), expected, atol=1e-3, rtol=0
    )


def test_nodenets_norms_are_measured_too() -> None:
    spec = nodenet("n", [1, 1, 1])
    network = new_network(spec, 1)
    norms = [m for m in network.modules() if isinstance(m, OrbitNorm)]
    assert renew_norms(network, [images(4, 96)], spec.preprocess, COMPUTE) == len(norms)
    assert all((norm.running_var != 1).all() for norm in norms)
    assert {norm.momentum for norm in norms} == {OrbitNorm(1).momentum}


def test_what_is_kept_was_measured_on_training_patches(
    packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    settings = [*QUICK, "train.norm_patches=10", "train.average=0.5", "train.keep=last"]
    config = load_config(None, settings)
    run = train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    plain = load_config(None, [*settings, "train.norm_patches=0"])
    other = train(packed, split, plain, tmp_path / "plain", spec=tiny_spec())
    ours, theirs = run.load().state_dict(), other.load().state_dict()
    for name, tensor in ours.items():
        # Training itself takes no notice: only what is kept differs.
        assert torch.equal(tensor, theirs[name]) != name.endswith(("running_mean", "running_var"))
    predictions = predict_set(run, packed, config, ["valid"]).frame
    logits, labels = predictions["logit"].to_numpy("float64"), predictions["label"].to_numpy()
    loss = np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean()
    assert loss == pytest.approx(run.record.metrics["valid_loss"], abs=1e-5)
    assert loss != pytest.approx(other.record.metrics["valid_loss"], abs=1e-3)


def test_interrupted_it_measures_the_same(
    packed: PackedSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(None, [*QUICK, "train.norm_patches=20"])
    whole = train(packed, split, config, tmp_path / "whole", spec=tiny_spec())
    real, calls = sentinode.train.loop.renew_norms, []

    def cut_short(*given: Any) -> int:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(sentinode.train.loop, "renew_norms", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    again = train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    assert again.weights_hash == whole.weights_hash
    assert again.history().equals(whole.history())


def test_a_setting_of_before_is_the_same_training() -> None:
    assert "norm_patches" not in TrainConfig().fingerprint()
    assert TrainConfig(norm_patches=8).fingerprint()["norm_patches"] == 8
