"""A run folder: everything known of one trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, final

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode.core import (
    Provenance,
    first_fault,
    hash_file,
    hash_json,
    provenance,
    read_json,
    run_folder,
    weight_names,
    write_json,
)
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.models.checkpoint import SPEC_FILE, WEIGHTS_FILE, load_checkpoint, read_spec
from sentinode.models.network import Network
from sentinode.models.spec import ModelSpec
from sentinode.tables import (
    CALIBRATION_FILE,
    Calibration,
    HistoryFacts,
    history_facts,
    read_history,
)
from sentinode.types import PRETRAINED

__all__ = [
    "CONFIG_FILE",
    "HISTORY_FILE",
    "RECORD_FILE",
    "STATE_FOLDER",
    "Run",
    "RunRecord",
    "forget_run",
    "record_weights",
    "resolve_run",
]

RECORD_FILE = "run.json"
HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"
"""What an unfinished training leaves of itself, to go on from."""

JOINED, MEMBER = "join", "member_"
"""Stage of a joined run, and what the roles of its members among the inputs begin with."""


class RunRecord(BaseModel):
    """What ``run.json`` says; written last, so that a run with it is finished.

    Attributes:
        format: Version of the layout.
        fingerprint: SHA-256 of all that shaped the weights: network, settings, set and split.
        provenance: What made the run.
        compute: Device, precision and threads.
        best_epoch: Epoch whose weights were kept, from 1; None where nothing was trained here.
        stopped: Why training ended.
        patches: Patches that it learnt from (``train``) and that chose the epoch (``valid``);
            empty where that was not recorded.
        metrics: The best epoch's row of the history.
        files: SHA-256 of each file of the run by name.
        timing: Wall times in s and rates in patches/s; the only part that no seed fixes.
        behind: Why the weights that it started from, or learnt from, may know patches that its own
            split keeps from it, in words that follow "were trained"; None where no reason is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fingerprint: str
    provenance: Provenance
    compute: dict[str, Any]
    best_epoch: int | None
    stopped: str
    patches: dict[str, int] = {}
    metrics: dict[str, float]
    files: dict[str, str]
    timing: dict[str, Any]
    behind: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``run.json``, whole or not at all."""
        write_json(folder / RECORD_FILE, self.model_dump(mode="json"))


@final
@dataclass(frozen=True)
class Run:
    """Handle on one finished run folder.

    Attributes:
        folder: Where it is.
        spec: The network.
        record: What ``run.json`` says.
    """

    folder: Path
    spec: ModelSpec
    record: RunRecord

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open a run folder; its weights are read by :meth:`load`.

        Raises:
            MissingInputError: There is no such folder, or no finished run in it.
            CheckpointError: A file of it is damaged or of another version.
        """
        if not folder.is_dir():
            raise MissingInputError(
                f"no run at {folder}; make one with: sentinode train SET --out {folder}, or name "
                f"one that comes with the package: {', '.join(weight_names())}"
            )
        if not (folder / RECORD_FILE).is_file():
            raise MissingInputError(
                f"{folder} holds no finished run: {RECORD_FILE} is missing; the same "
                "command goes on with one that was interrupted"
            )
        return cls(folder, read_spec(folder), read_record(folder))

    def facts(self) -> HistoryFacts:
        """Return what the training's curves show, counted; errors as `read_history`."""
        table = self.history()
        columns = [table[name].tolist() for name in ("epoch", "loss", "valid_loss")]
        return history_facts(columns[0], columns[1], columns[2], self.record.best_epoch)

    def load(self) -> Network:
        """Read the network with its weights, in evaluation mode on the CPU.

        Raises:
            CheckpointError: The weights are damaged, or not the ones this run recorded.
        """
        _, network = load_checkpoint(self.folder)
        found = hash_file(self.folder / WEIGHTS_FILE)
        if found != self.weights_hash:
            raise CheckpointError(
                f"{self.folder / WEIGHTS_FILE} is not the file that {RECORD_FILE} recorded "
                f"(SHA-256 {found[:12]}, expected {self.weights_hash[:12]})"
            )
        return network

    @property
    def is_taught(self) -> bool:
        """Whether a label was ever shown to it; to what was only pretrained none was."""
        return self.record.provenance.stage != PRETRAINED

    def taught(self) -> Run:
        """Return itself.

        Raises:
            InputError: It was pretrained only, and no label was ever shown to it.
        """
        if not self.is_taught:
            raise InputError(
                f"{self.folder} was pretrained and has learnt no label yet; train from it: "
                f"sentinode train SET --set train.start={self.folder} --out RUN"
            )
        return self

    @property
    def members(self) -> list[str]:
        """SHA-256 of the weights of each network that it was joined from, none where it was not."""
        origin = self.record.provenance
        if origin.stage != JOINED:
            return []
        roles = [role for role in origin.inputs if role.startswith(MEMBER)]
        in_order = sorted(roles, key=lambda role: int(role.removeprefix(MEMBER)))
        return [origin.inputs[role] for role in in_order]

    @property
    def origin(self) -> Literal["joined", "imported"]:
        """How it came about where it was not trained here."""
        return "joined" if self.members else "imported"

    @property
    def weights_hash(self) -> str:
        """SHA-256 of ``model.safetensors`` as recorded when the run was finished."""
        return self.record.files.get(WEIGHTS_FILE, "")

    def taught_by(self) -> dict[str, str]:
        """Return what predictions and exports say of its training.

        The hashes of ``set`` and ``split`` among others, and ``behind`` as of `RunRecord`.
        """
        behind = {"behind": self.record.behind} if self.record.behind else {}
        return self.record.provenance.inputs | behind

    def trained_on(self) -> int | None:
        """Return how many patches taught it, None where nothing was trained here.

        Runs of before this was recorded have it as their rate times the time of an epoch.
        """
        timing = self.record.timing
        if "train" in self.record.patches or "train_patches_per_s" not in timing:
            return self.record.patches.get("train")
        seconds: list[float] = [epoch["train_s"] for epoch in timing["epochs"]]
        rate: float = timing["train_patches_per_s"]
        return round(rate * median(seconds[1:] or seconds))

    def calibration(self) -> Calibration | None:
        """Return the run's calibration, None where it has none; errors as `Calibration.read`."""
        return Calibration.read(self.folder, self.weights_hash)

    def history(self) -> pd.DataFrame:
        """Return the training's history, one row per epoch; errors as `read_history`."""
        return read_history(self.folder / HISTORY_FILE)


def read_record(folder: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        CheckpointError: It is damaged or of another version.
    """
    path = folder / RECORD_FILE
    try:
        values = read_json(path)
    except InputError as error:
        raise CheckpointError(str(error)) from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != 1:
        raise CheckpointError(f"{path} has format {found!r}, this version of sentinode reads 1")
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {first_fault(error)}") from error


def record_weights(
    folder: Path,
    stage: str,
    stopped: str,
    config: dict[str, Any],
    inputs: dict[str, str],
    *,
    patches: dict[str, int] | None = None,
    behind: str | None = None,
) -> Run:
    """Make a run of the spec and the weights in a folder, which no training made.

    Args:
        folder: Holds both.
        stage: Command that made them.
        stopped: What it did to them, as in "imported".
        config: What shaped them beside ``inputs``.
        inputs: Hashes of what they were made from, by role.
        patches: As of `RunRecord`.
        behind: As of `RunRecord`.
    """
    RunRecord(
        fingerprint=hash_json({"config": config, "inputs": inputs}),
        provenance=provenance(stage, config=config, inputs=inputs),
        compute={},
        best_epoch=None,
        stopped=stopped,
        patches=patches or {},
        metrics={},
        files={name: hash_file(folder / name) for name in (SPEC_FILE, WEIGHTS_FILE)},
        timing={},
        behind=behind,
    ).write(folder)
    return Run.open(folder)


def forget_run(folder: Path) -> None:
    """Remove what a folder says of a finished run in it, before another one takes its place.

    Its configuration stays: the new one may be made of it.
    """
    if (folder / RECORD_FILE).is_file():
        for name in (RECORD_FILE, CALIBRATION_FILE, HISTORY_FILE):
            (folder / name).unlink(missing_ok=True)


def resolve_run(name: str, *, to_start: bool = False) -> Run:
    """Open what a command was given as RUN: a run folder's path, or the name of shipped weights.

    Args:
        name: The path or name.
        to_start: Whether training is to start from it, and it need not have learnt any label.

    Raises:
        MissingInputError: There is no such run.
        InputError: No label was ever shown to it.
        CheckpointError: It is damaged or of another version.
    """
    run = Run.open(run_folder(name))
    return run if to_start else run.taught()
