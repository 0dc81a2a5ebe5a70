"""What is told of a training beside its `history.csv`: to TensorBoard and to MLflow."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from sentinode.core import read_json, require, write_json
from sentinode.errors import NetworkError
from sentinode.train.plan import Plan, mlflow_uri
from sentinode.train.ranks import Ranks
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["TENSORBOARD_FOLDER", "Trackers"]

TENSORBOARD_FOLDER = "tensorboard"
MLFLOW_FILE = "mlflow.json"
Row = Mapping[str, float]


class Tracker(ABC):
    """One place that the history is told to."""

    @abstractmethod
    def tell(self, history: Sequence[Row]) -> None:
        """Tell all rows that were not told before."""

    @abstractmethod
    def close(self, status: str) -> None:
        """Say that training is ``FINISHED``, ``FAILED`` or ``KILLED``."""


@final
class Trackers:
    """All places that the settings name, as a context manager; none but in the first process.

    Args:
        plan: Of the training.
        folder: Of its state, in its run folder.
        done: Epochs that were finished before.
        ranks: Its processes.

    Attributes:
        say: Called with a line for the user.

    Raises:
        NetworkError: A place does not answer; nothing was trained yet in this process.
        MissingExtraError: A package is not installed.
    """

    def __init__(self, plan: Plan, folder: Path, done: int, ranks: Ranks) -> None:
        self._all: list[Tracker] = []
        self.say: Callable[[str], object] = lambda line: print(line, file=sys.stderr)
        ranks.agreed(lambda: self._open(plan, folder, done))

    def _open(self, plan: Plan, folder: Path, done: int) -> None:
        for name in dict.fromkeys(plan.settings.log):
            if name == "tensorboard":
                self._all.append(TensorBoard(folder.parent / TENSORBOARD_FOLDER, done))
            else:
                self._all.append(MLflow(plan, folder, self._speak))

    def _speak(self, line: str) -> None:
        self.say(line)  # whoever hears it now

    def __enter__(self) -> Self:
        """Do nothing more."""
        return self

    def tell(self, history: Sequence[Row]) -> None:
        """Tell every place what it was not told before."""
        for tracker in self._all:
            tracker.tell(history)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every place."""
        status = "FINISHED" if error is None else "FAILED"
        status = status if error is None or isinstance(error, Exception) else "KILLED"
        with ExitStack() as stack:  # all are closed, whatever one of them raises
            for tracker in self._all:
                stack.callback(tracker.close, status)


@final
class TensorBoard(Tracker):
    """Curves of training and validation, in a folder that ``tensorboard --logdir`` reads.

    Args:
        folder: Where.
        done: Epochs finished; what an interrupted training told of later ones is forgotten.
    """

    def __init__(self, folder: Path, done: int) -> None:
        require("tensorboard", extra="tracking", purpose="logging to TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        if not done:
            for earlier in folder.glob("events.out.tfevents.*"):
                earlier.unlink()
        self._writer: Any = SummaryWriter(str(folder), purge_step=done + 1)
        self._told = done

    def tell(self, history: Sequence[Row]) -> None:
        """Write a scalar of each curve for each new epoch."""
        for row in history[self._told :]:
            for name, value in _curves(row):
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()
        self._told = len(history)

    def close(self, status: str) -> None:
        """Close the file."""
        self._writer.close()


@final
class MLflow(Tracker):
    """A run of an experiment on an MLflow server; goes on with the same one after a resume.

    A server that does not answer when training starts stops it before anything is computed. One
    that falls silent later costs nothing but its curves: training goes on, and each epoch tries
    again to send all that is missing.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], object]) -> None:
        self._uri, self._say, self._file = mlflow_uri(plan.settings), say, folder / MLFLOW_FILE
        self._silent = False
        # Read when it is imported: no telemetry, and no minutes of waiting for an answer.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        mlflow: Any = require("mlflow", extra="tracking", purpose="logging to MLflow")
        try:
            self._client: Any = mlflow.MlflowClient(self._uri)
            self._run, self._told = self._begin(plan)
        except Exception as error:
            raise NetworkError(
                f"MLflow at {self._uri} does not take this training: {_short(error)}; start the "
                "server and give the same command again, or train without it: --set train.log=[]"
            ) from error

    def _begin(self, plan: Plan) -> tuple[str, int]:
        if self._file.is_file():
            known = read_json(self._file)
            if known.get("uri") == self._uri:
                self._client.update_run(known["run"], status="RUNNING")
                return known["run"], known["told"]
        name = plan.settings.mlflow_experiment
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        tags = {"mlflow.note.content": RESEARCH_USE_ONLY, "fingerprint": plan.fingerprint}
        run: str = self._client.create_run(experiment, tags=tags).info.run_id
        for key, value in _settings(plan).items():
            self._client.log_param(run, key, value)
        self._remember(run, 0)
        return run, 0

    def _remember(self, run: str, told: int) -> None:
        write_json(self._file, {"uri": self._uri, "run": run, "told": told})

    def tell(self, history: Sequence[Row]) -> None:
        """Send the metrics of each new epoch."""
        try:
            for row in history[self._told :]:
                self._send(row)
                self._told = int(row["epoch"])
        except Exception as error:  # noqa: BLE001  a training is worth more than its curves
            if not self._silent:
                self._say(
                    f"MLflow at {self._uri} does not answer ({_short(error)}); training goes on "
                    "and tries again after each epoch; all of it is in history.csv"
                )
            self._silent = True
            return
        self._silent = False
        self._remember(self._run, self._told)

    def _send(self, row: Row) -> None:
        import mlflow

        now, epoch = int(time.time() * 1000), int(row["epoch"])
        curves = [mlflow.entities.Metric(n, v, now, epoch) for n, v in _curves(row)]
        self._client.log_batch(self._run, metrics=curves, synchronous=True)

    def close(self, status: str) -> None:
        """Say how it ended."""
        try:
            self._client.set_terminated(self._run, status)
        except Exception as error:  # noqa: BLE001
            self._say(f"MLflow at {self._uri} was not told that training ended: {_short(error)}")


def _curves(row: Row) -> Iterator[tuple[str, float]]:
    """Name a row's values so that training and validation stand side by side."""
    yield "learning_rate", row["learning_rate"]
    for name in ("loss", "accuracy", "auc"):
        yield f"{name}/train", row[name]
        yield f"{name}/valid", row[f"valid_{name}"]


def _settings(plan: Plan) -> dict[str, Any]:
    config = plan.made_from["config"]
    settings = {
        f"{section}.{key}": value
        for section in ("train", "augment")
        for key, value in config[section].items()
    }
    inputs = {f"input.{name}": value for name, value in plan.made_from["inputs"].items()}
    return {"model": plan.spec.name, **settings, **inputs}


def _short(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if len(said) <= 240 else f"{said[:240]}..."
