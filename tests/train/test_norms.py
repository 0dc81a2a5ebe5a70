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
from sentinode.errors import ConfigError
from sentinode.models import choose_compute, new_network
from sentinode.models.encoders import EncoderNetwork
from sentinode.models.nodenet import nodenet
from sentinode.models.orbit import OrbitNorm
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import norms_of, renew_norms, train

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


@pytest.mark.parametrize("batch_size", [1, 5])
def test_no_patch_is_measured_alone(
    packed: PackedSet, split: Split, tmp_path: Path, batch_size: int
) -> None:
    seen: list[int] = []
    real = sentinode.train.loop.renew_norms

    def watched(network: Any, shown: Any, *rest: Any) -> int:
        batches = list(shown)
        seen.extend(len(batch) for batch in batches)
        return real(network, batches, *rest)

    settings = [*QUICK, "train.norm_patches=11", "train.epochs=1"]
    config = load_config(None, [*settings, f"train.batch_size={batch_size}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentinode.train.loop, "renew_norms", watched)
        train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    assert seen == ([2] * 5 if batch_size == 1 else [5, 5])
    with pytest.raises(ConfigError, match="norm_patches is 0, or at least 2"):
        load_config(None, ["train.norm_patches=1"])


def test_an_error_leaves_the_network_usable_and_bad_numbers_are_forgotten() -> None:
    spec = tiny_spec()
    network = new_network(spec, 1)
    norm = next(m for m in network.modules() if isinstance(m, BatchNorm2d))
    norm.running_var.fill_(float("inf"))  # type: ignore[union-attr]
    momentum, size = norm.momentum, spec.preprocess.size
    with pytest.raises(RuntimeError):
        renew_norms(network, [images(4, size), images(4, 2)], spec.preprocess, COMPUTE)
    assert norm.momentum == momentum
    assert not network.training
    assert not norm.training
    renew_norms(network, [images(4, size)], spec.preprocess, COMPUTE)
    assert torch.isfinite(network(to_input(images(4, size), spec.preprocess))).all()


def test_a_frozen_encoder_is_left_alone() -> None:
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), BatchNorm2d(4))
    network = EncoderNetwork.__new__(EncoderNetwork)
    torch.nn.Module.__init__(network)
    network.encoder, network.head = encoder, torch.nn.BatchNorm1d(4)
    network.frozen = True
    assert norms_of(network) == [network.head]
    network.frozen = False
    assert norms_of(network) == [encoder[1], network.head]


def test_a_setting_of_before_is_the_same_training() -> None:
    assert "norm_patches" not in TrainConfig().fingerprint()
    assert TrainConfig(norm_patches=8).fingerprint()["norm_patches"] == 8
