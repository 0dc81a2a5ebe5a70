from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

import sentinode.train.loop
from builders.sets import small_set, small_split, tiny_spec
from sentinode.config import Config, load_config
from sentinode.data.loader import batches, epoch_order, to_input
from sentinode.errors import InputError, TrainingError
from sentinode.models import choose_compute, deterministic, new_network
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.train.plan import make_plan
from sentinode.train.scores import score
from sentinode.types import Preprocess


def changed(config: Config, **train_settings: object) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=train_settings)})


def test_the_same_seed_gives_the_same_bytes(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(packed, split, quick, tmp_path / "a", spec=tiny_spec())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    train(packed, split, quick, tmp_path / "b", spec=tiny_spec())
    for name in ("spec.json", "model.safetensors", "history.csv", "config.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    other = train(packed, split, changed(quick, seed=43), tmp_path / "c", spec=tiny_spec())
    assert other.weights_hash != first.weights_hash


def test_a_run_holds_what_made_it_and_no_path(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    run = train(packed, split, quick, tmp_path / "run", spec=tiny_spec())
    files = {p.name for p in run.folder.iterdir()} - {".lock"}
    assert files == {"config.toml", "history.csv", "model.safetensors", "run.json", "spec.json"}
    assert run.record.provenance.inputs["split"] == split.hash
    assert len(run.record.timing["epochs"]) == len(run.history()) == 4
    best = run.history().iloc[run.record.best_epoch - 1]  # type: ignore[operator]
    assert (
        best["valid_loss"] == run.history()["valid_loss"].min() == run.record.metrics["valid_loss"]
    )
    assert load_config(run.folder / "config.toml").train == quick.train
    for name in files:
        assert str(tmp_path).encode() not in (run.folder / name).read_bytes()


def test_it_learns_and_stops_and_keeps_the_best_weights(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, epochs=60, patience=3, learning_rate=0.03)
    run = train(packed, split, config, tmp_path / "run", spec=tiny_spec(dropout=0.0))
    history = run.history()
    best = run.record.best_epoch
    assert best == history["valid_loss"].idxmin() + 1
    assert run.record.stopped == "patience"
    assert len(history) == best + 3
    table = predict_set(run, packed, config, folds=["valid"]).frame
    loss = log_loss(table["label"].astype(int), table["probability"].astype("float64"))
    assert loss == pytest.approx(history["valid_loss"][best - 1], rel=1e-4)
    assert history["valid_auc"][best - 1] > 0.9


def test_one_step_is_keras_adam_on_the_mean_cross_entropy(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    spec = tiny_spec(dropout=0.0)
    config = changed(quick, epochs=1, batch_size=1000)
    run = train(packed, split, config, tmp_path / "run", spec=spec)
    examples = make_plan(packed, split, config, spec).training
    order = epoch_order(len(examples), 42, 1)
    (images,) = batches(packed.images, examples.rows[order], 1000)
    network = new_network(spec, 42).train()
    compute = choose_compute("cpu", "float32", threads=1)
    compute.place(network)
    y = torch.from_numpy(examples.labels[order])
    with deterministic(compute):
        p = torch.sigmoid(network(to_input(images, spec.preprocess)))
        loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
        loss.backward()  # type: ignore[no-untyped-call]
    assert run.history()["loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    # Adam's first step has the size of the learning rate, against the gradient's sign.
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        expected = parameter - config.train.learning_rate * gradient / (gradient.abs() + 1e-7)
        large = gradient.abs() > 1e-5
        stepped = run.load().state_dict()[name]
        assert torch.allclose(stepped[large], expected[large], atol=1e-5), name


def test_a_finished_run_is_kept_and_another_is_refused(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(packed, split, quick, tmp_path / "run", spec=tiny_spec())
    written = (run.folder / "run.json").stat().st_mtime_ns
    assert train(packed, split, quick, run.folder, spec=tiny_spec()).record == run.record
    assert (run.folder / "run.json").stat().st_mtime_ns == written
    longer = changed(quick, epochs=5)
    with pytest.raises(InputError, match=r"made otherwise \(train\.epochs\)"):
        train(packed, split, longer, run.folder, spec=tiny_spec())
    with pytest.raises(InputError, match=r"made otherwise \(model, train\.seed\)"):
        train(packed, split, changed(quick, seed=1), run.folder, spec=tiny_spec(dropout=0.1))
    replaced = train(packed, split, longer, run.folder, spec=tiny_spec(), force=True)
    assert len(replaced.history()) == 5


def test_divergence_is_said_in_plain_words(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"diverged in epoch 1: .* smaller train\.learning_rate"
    ):
        train(packed, split, changed(quick, learning_rate=1e30), tmp_path / "run", spec=tiny_spec())


def test_divergence_is_said_where_gradients_are_clipped(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    wild = changed(quick, learning_rate=1e30, clip=1.0)
    with pytest.raises(TrainingError, match="diverged in epoch 1"):
        train(packed, split, wild, tmp_path / "run", spec=tiny_spec())


def test_what_a_step_gathered_before_memory_ran_out_is_dropped(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, sizes = sentinode.train.loop.to_input, []

    def hungry(batch: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
        sizes.append(len(batch))
        return torch.empty(10**15) if sizes == [8, 8] else real(batch, preprocess)

    monkeypatch.setattr(sentinode.train.loop, "to_input", hungry)
    halved = changed(quick, epochs=1, accumulate=2, optimizer="sgd")
    run = train(packed, split, halved, tmp_path / "run", spec=tiny_spec(dropout=0.0))
    assert sizes[:3] == [8, 8, 4]
    monkeypatch.undo()
    asked = changed(halved, batch_size=4, accumulate=4)
    same = train(packed, split, asked, tmp_path / "asked", spec=tiny_spec(dropout=0.0))
    assert same.weights_hash == run.weights_hash


def test_what_cannot_teach_or_choose_is_refused_before_it_starts(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    labels = dict(zip(packed.manifest.frame["id"], packed.manifest.frame["label"], strict=True))

    def keeping(fold: str, wanted: set[int]) -> Split:
        units = {unit: ids for unit, ids in split.units[fold].items() if labels[unit] in wanted}  # type: ignore[index]
        return split.model_copy(update={"units": {**split.units, fold: units}})

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"fold valid needs .* got only label 1"):
        train(packed, keeping("valid", {1}), quick, out, spec=tiny_spec())
    with pytest.raises(TrainingError, match=r"fold train needs .* got no patch"):
        train(packed, keeping("train", set()), quick, out, spec=tiny_spec())
    units = {**split.units, "valid": split.units["unlabelled"], "unlabelled": {}}
    mixed = split.model_copy(update={"units": units})
    with pytest.raises(InputError, match="is in fold valid and has no label"):
        train(packed, mixed, quick, out, spec=tiny_spec())
    stale = split.model_copy(update={"manifest_hash": "0"})
    with pytest.raises(InputError, match="another state of this set"):
        train(packed, stale, quick, out, spec=tiny_spec())
    with pytest.raises(InputError, match=r"takes patches of 96 px, .* has 16 px"):
        train(packed, split, quick, out)
    with pytest.raises(InputError, match="unknown model"):
        train(packed, split, load_config(None, ["model.name=nothing"]), out)
    assert not out.exists()


def test_the_networks_scale_is_the_sets(quick: Config, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", mpp=0.5)
    run = train(packed, small_split(packed), quick, tmp_path / "run", spec=tiny_spec())
    assert run.spec.preprocess.mpp == 0.5


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    logits = rng.normal(labels - 0.5, 2).astype(np.float32)
    logits[:3] = (-800, 800, 0)
    labels[:2] = (0, 1)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64).clip(-700, 700)))
    found = score(logits, labels)
    assert found.loss == pytest.approx(log_loss(labels, probability), rel=1e-9)
    assert found.auc == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    assert found.accuracy == np.mean((probability >= 0.5) == labels)


def test_after_epoch_is_given_each_stored_epoch_and_may_end_the_training(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    seen: list[dict[str, float]] = []

    def stop_after_two(row: Mapping[str, float]) -> None:
        seen.append(dict(row))
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(packed, split, quick, tmp_path / "a", spec=tiny_spec(), after_epoch=stop_after_two)
    run = train(
        packed,
        split,
        quick,
        tmp_path / "a",
        spec=tiny_spec(),
        after_epoch=lambda row: seen.append(dict(row)),
    )
    assert [row["epoch"] for row in seen] == [1, 2, 1, 2, 3, 4]
    assert [row["valid_auc"] for row in seen[2:]] == pytest.approx(run.history()["valid_auc"])
    whole = train(packed, split, quick, tmp_path / "b", spec=tiny_spec())
    assert run.weights_hash == whole.weights_hash
