"""What made the predictions: hashes of every input, and what the run folder tells."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pandas as pd

from sentinode.core import hash_bytes, hash_file, read_json
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import PackedSet, Predictions, Split, Training, read_history
from sentinode.types import PRETRAINED

__all__ = ["RunStory", "input_hashes", "origins", "read_run"]


@final
@dataclass(frozen=True)
class RunStory:
    """What a run folder says of its training.

    Attributes:
        files: ``run``, ``spec`` and ``config`` -> content.
        training: Its history, None where there is none.
        hashes: ``weights`` and ``history`` -> SHA-256.
    """

    files: dict[str, dict[str, Any]]
    training: Training | None
    hashes: dict[str, str]


def read_run(folder: Path, predictions: Predictions) -> RunStory:
    """Read what a run folder has of run.json, spec.json, config.toml, history.csv and weights.

    Raises:
        MissingInputError: It is no run folder.
        InputError: A file is damaged, the predictions name other weights as theirs, or the run was
            only pretrained.
    """
    if not (folder / "run.json").is_file():
        raise MissingInputError(f"{folder} is no run folder: run.json is missing")
    files: dict[str, dict[str, Any]] = {}
    for name in ("run", "spec"):
        path = folder / f"{name}.json"
        if path.is_file():
            files[name] = _plain(read_json(path), path)
    made = files["run"].get("provenance")
    if isinstance(made, dict) and made.get("stage") == PRETRAINED:
        raise InputError(
            f"{folder} was pretrained and has learnt no label yet; give the run that was trained "
            "from it"
        )
    path = folder / "config.toml"
    if path.is_file():
        try:
            files["config"] = _plain(tomllib.loads(path.read_text(encoding="utf-8")), path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is damaged: expected TOML, {error}") from error
    names = {"weights": "model.safetensors", "history": "history.csv"}
    hashes = {k: hash_file(folder / v) for k, v in names.items() if (folder / v).is_file()}
    made_by = predictions.note.get("weights_sha256")
    if made_by is not None and hashes.get("weights", made_by) != made_by:
        raise InputError(
            f"the predictions were made by other weights than {folder} holds; give the run that "
            "made them, or predict again"
        )
    training = None
    if "history" in hashes:
        training = _training(read_history(folder / "history.csv"), files["run"])
    return RunStory(files, training, hashes)


def _training(history: pd.DataFrame, run: Mapping[str, Any]) -> Training:
    columns = {
        str(name): tuple(_finite(v) for v in pd.to_numeric(history[name], errors="coerce"))
        for name in history
    }
    best = run.get("best_epoch")
    if not isinstance(best, int) or best not in set(history["epoch"]):
        losses = [math.inf if v is None else v for v in columns["valid_loss"]]
        lowest = min(losses, default=math.inf)
        best = int(history["epoch"][losses.index(lowest)]) if math.isfinite(lowest) else None
    return Training(columns=columns, best_epoch=best)


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: expected an object, got {type(value).__name__}")
    plain: dict[str, Any] = _strict(value)
    return plain


def _strict(value: Any) -> Any:
    """Return a value that strict JSON can hold: no NaN, and dates and the like as text."""
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def input_hashes(
    predictions: Predictions,
    packed: PackedSet | None,
    split: Split | None,
    story: RunStory | None,
) -> dict[str, str]:
    """Return the SHA-256 of every input by its role."""
    hashes = {"predictions": _hash_of(predictions.frame)}
    if packed is not None:
        hashes |= {"set": packed.meta.content_hash, "manifest": packed.manifest.hash}
    if split is not None:
        hashes["split"] = split.hash
    return hashes | (story.hashes if story is not None else {})


def _hash_of(frame: pd.DataFrame) -> str:
    """Hash what was predicted, whatever file it came in."""
    columns = ["id", "slide", "label", "fold"]
    text = frame[columns].astype("string").fillna("")
    joined = text["id"].str.cat(text[columns[1:]], sep="\x1f")
    numbers = frame["probability"].to_numpy("<f4").tobytes()
    return hash_bytes("\x1e".join(joined).encode() + numbers)


def origins(
    predictions: Predictions,
    packed: PackedSet | None,
    split: Split | None,
    story: RunStory | None,
) -> dict[str, dict[str, Any]]:
    """Return what each input says of its own making, by its role."""
    found: dict[str, dict[str, Any]] = {}
    if predictions.note:
        found["predictions"] = _strict(predictions.note)
    if packed is not None:
        found["set"] = packed.meta.model_dump(mode="json")
        found["manifest"] = _strict(packed.manifest.note)
    if split is not None:
        found["split"] = split.model_dump(mode="json", exclude={"units"})
    return found | (story.files if story is not None else {})
