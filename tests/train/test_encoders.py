from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

import sentinode.predict.features
import sentinode.train.training
from builders.encoders import SIDE, tiny_encoder
from builders.sets import QUICK, small_set, small_split
from sentinode.config import Config, changed, load_config
from sentinode.errors import CheckpointError, InputError, TrainingError
from sentinode.models import Run, choose_compute, new_network, spec_for
from sentinode.models.encoders import EncoderNetwork
from sentinode.predict import predict_set
from sentinode.predict.features import cached_features
from sentinode.tables import PackedSet, Split
from sentinode.train import train


@pytest.fixture
def packed(tmp_path: Path) -> PackedSet:
    return small_set(tmp_path / "set", size=96)


@pytest.fixture
def split(packed: PackedSet) -> Split:
    return small_split(packed)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tiny_encoder(tmp_path / "encoder", "dinov2")
    model = [f"model.encoder={folder}", "model.name=encoder", f"model.input_size={SIDE}"]
    return load_config(None, [*QUICK, *model, "model.pooling=cls+mean", "train.epochs=3"])


def logits(run: Run, packed: PackedSet, config: Config) -> np.ndarray:
    exact = changed(config, {"predict.calibrated": False})
    return predict_set(run, packed, exact, folds=["valid"]).frame["logit"].to_numpy("float64")


def test_cached_features_teach_what_the_patches_teach(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    cached = train(packed, split, config, tmp_path / "cached")
    plain = train(packed, split, changed(config, {"model.cache": False}), tmp_path / "plain")
    assert list((packed.folder / "features").glob("*.npy"))
    np.testing.assert_allclose(
        logits(cached, packed, config), logits(plain, packed, config), atol=1e-4
    )
    again = train(packed, split, config, tmp_path / "again")
    assert again.weights_hash == cached.weights_hash
    assert load_config(cached.folder / "config.toml").model == config.model
    assert (cached.folder / "model.safetensors").stat().st_size < 2000  # the head alone


def test_another_network_of_the_same_shapes_has_features_of_its_own(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    first = train(packed, split, config, tmp_path / "first")
    file = tmp_path / "encoder" / "config.json"
    file.write_text(
        file.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 1')
    )
    second = train(packed, split, config, tmp_path / "second")
    assert first.weights_hash != second.weights_hash
    plain = train(packed, split, changed(config, {"model.cache": False}), tmp_path / "plain")
    np.testing.assert_allclose(
        logits(second, packed, config), logits(plain, packed, config), atol=1e-4
    )


def test_an_operation_without_a_deterministic_form_is_said(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise RuntimeError(
            "upsample_bicubic2d_backward_out_cuda does not have a deterministic implementation, "
            "but you set 'torch.use_deterministic_algorithms(True)'."
        )

    monkeypatch.setattr(sentinode.train.training, "fit", refused)
    with pytest.raises(TrainingError, match=r"upsample_bicubic2d.*model\.input_size=none"):
        train(packed, split, config, tmp_path / "run")


def test_features_that_are_no_numbers_are_the_encoder_s_fault(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    file = tmp_path / "encoder" / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name, tensor in tensors.items() if tensor.ndim > 1)
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"gives values that are no numbers.*load them anew"):
        train(packed, split, config, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_random_changes_leave_the_cache_alone(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    turned = changed(config, {"augment.orientations": "all", "train.average": 0.9})
    run = train(packed, split, turned, tmp_path / "run")
    assert not (packed.folder / "features").exists()
    assert np.isfinite(logits(run, packed, config)).all()


def test_a_cache_cut_short_goes_on_where_it_was(
    packed: PackedSet, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, compute = spec_for(config.model), choose_compute("cpu", "float32", 1)
    network = new_network(spec, seed=0)
    assert isinstance(network, EncoderNetwork)
    monkeypatch.setattr(sentinode.predict.features, "BATCH", 8)
    monkeypatch.setattr(sentinode.predict.features, "BATCHES_BETWEEN_NOTES", 1)
    embed, seen = network.embed, []

    def counted(patches: torch.Tensor) -> torch.Tensor:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(len(patches))
        return embed(patches)

    rows = np.arange(5, 51)
    monkeypatch.setattr(network, "embed", counted)
    with pytest.raises(KeyboardInterrupt):
        cached_features(network, spec, packed, rows, compute)
    assert seen == [8, 8, 8]
    seen[:] = [0, 0, 0, 0]  # no further stop
    features = cached_features(network, spec, packed, rows, compute)
    assert seen[4:] == [8, 8, 8]
    monkeypatch.setattr(network, "embed", embed)
    whole = cached_features(network, spec, packed, np.arange(len(packed.images)), compute)
    np.testing.assert_array_equal(features[rows], whole[rows])
    assert (np.abs(whole).sum(1) > 0).all()


def test_finetuning_changes_the_encoder_and_stores_it(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    run = train(packed, split, changed(config, {"model.mode": "finetune"}), tmp_path / "run")
    weights = run.load().state_dict()
    first = new_network(run.spec, seed=0).state_dict()
    moved = [n for n in first if n.startswith("encoder.") and not torch.equal(first[n], weights[n])]
    assert moved


def test_an_encoder_that_changed_is_told_when_predicting(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    run = train(packed, split, config, tmp_path / "run")
    tiny_encoder(tmp_path / "encoder", "dinov2", seed=5)
    with pytest.raises(CheckpointError, match="other weights"):
        predict_set(run, packed, config)
