"""What TensorBoard and MLflow are told, read back by their own readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sentinode.train.loop
from builders.sets import QUICK, tiny_spec
from sentinode.config import Config, load_config
from sentinode.errors import ConfigError, InputError, MissingExtraError, NetworkError
from sentinode.models import Run
from sentinode.tables import PackedSet, Split
from sentinode.train import train

LOGS_NOTHING = ("spec.json", "model.safetensors", "history.csv", "config.toml")


def settings(*more: str) -> Config:
    return load_config(None, [*QUICK, *more])


@contextmanager
def interrupted(at: int) -> Iterator[None]:
    """Stop the training within at its ``at``-th step."""
    real, calls = sentinode.train.loop.step_seed, 0

    def stop(*args: int) -> int:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentinode.train.loop, "step_seed", stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        name: [(event.step, event.value) for event in read.Scalars(name)]
        for name in read.Tags()["scalars"]
    }


def test_tensorboard_shows_each_epoch_once_after_an_interruption(
    packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    plain = train(packed, split, settings(), tmp_path / "plain", spec=tiny_spec())
    config = settings("train.log=['tensorboard']")
    of_others = tmp_path / "run/tensorboard/other/events"
    of_others.parent.mkdir(parents=True)
    of_others.write_text("mine")
    with interrupted(15):
        train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    run = train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    assert of_others.read_text() == "mine"
    found = scalars(run.folder / "tensorboard")
    history = run.history()
    for name, column in (
        ("loss/train", "loss"),
        ("loss/valid", "valid_loss"),
        ("auc/valid", "valid_auc"),
        ("learning_rate", "learning_rate"),
    ):
        assert [step for step, _ in found[name]] == [1, 2, 3, 4]
        assert [value for _, value in found[name]] == pytest.approx(history[column].tolist())
    for name in LOGS_NOTHING:
        assert (run.folder / name).read_bytes() == (plain.folder / name).read_bytes()


# MLflow's own use of SQLAlchemy
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def client(uri: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(uri)


def curves(uri: str) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    """Return the one run of the experiment and its metrics."""
    server = client(uri)
    experiment = server.get_experiment_by_name("nodes")
    (run,) = server.search_runs([experiment.experiment_id])
    names = run.data.metrics
    return run, {
        name: [(m.step, m.value) for m in server.get_metric_history(run.info.run_id, name)]
        for name in names
    }


@quiet
def test_mlflow_gets_one_run_of_an_interrupted_training_that_lost_it_a_while(
    packed: PackedSet, split: Split, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = settings(
        "train.log=['mlflow']", f"train.mlflow_uri={uri}", "train.mlflow_experiment=nodes"
    )
    with interrupted(15):
        train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    run, found = curves(uri)
    assert run.info.status == "KILLED"
    assert [step for step, _ in found["loss/valid"]] == [1, 2]

    import mlflow

    real, calls = mlflow.MlflowClient.log_batch, 0

    def lost(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise mlflow.exceptions.MlflowException("nobody answers")
        return real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_batch", lost)
        whole = train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    assert capfd.readouterr().err.count("does not answer (nobody answers); training goes on") == 1
    run, found = curves(uri)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.learning_rate"] == "0.01"
    assert run.data.params["model"] == "tiny"
    assert "Research use only" in run.data.tags["mlflow.note.content"]
    assert found["loss/valid"] == [
        (i, pytest.approx(value)) for i, value in enumerate(whole.history()["valid_loss"], 1)
    ]
    assert b"mlflow.db" not in (whole.folder / "config.toml").read_bytes()


@quiet
def test_an_mlflow_that_does_not_answer_stops_before_anything_is_computed(
    packed: PackedSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    asked: list[object] = []
    real = sentinode.train.loop.shown_images

    def asking(*args: Any) -> Any:
        asked.append(args)
        return real(*args)

    monkeypatch.setattr(sentinode.train.loop, "shown_images", asking)
    there = ("train.log=['mlflow']", "train.mlflow_uri=http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"http://127.0.0.1:9 .* --set train\.log=\[\]"):
        train(packed, split, settings(*there), out, spec=tiny_spec())
    assert not list(out.glob("state/*.safetensors"))
    assert not asked
    # An interrupted training loses nothing by it either.
    with interrupted(15):
        train(packed, split, settings(), out, spec=tiny_spec())
    kept = sorted((path.name, path.read_bytes()) for path in (out / "state").iterdir())
    with pytest.raises(NetworkError, match="does not take this training"):
        train(packed, split, settings(*there), out, spec=tiny_spec())
    assert kept == sorted((path.name, path.read_bytes()) for path in (out / "state").iterdir())
    assert isinstance(train(packed, split, settings(), out, spec=tiny_spec()), Run)


def test_mlflow_without_a_server_or_with_a_password_is_refused(
    packed: PackedSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=r"no server: give --set train\.mlflow_uri"):
        train(packed, split, settings("train.log=['mlflow']"), tmp_path / "a", spec=tiny_spec())
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD"):
        settings("train.mlflow_uri=https://me:secret@host/path")
    with pytest.raises(ConfigError, match=r"train\.log"):
        settings("train.log=['wandb']")


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(
    packed: PackedSet,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(MissingExtraError, match=r"pip install 'sentinode\[tracking\]'"):
        train(packed, split, settings(f"train.log=['{name}']"), tmp_path / "r", spec=tiny_spec())
