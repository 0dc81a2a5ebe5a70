"""What is compared: runs with their predictions, and predictions of anybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from sentinode.compare.once import predict_once
from sentinode.config import Config
from sentinode.core import folder_names, run_folder, weight_names
from sentinode.errors import InputError, MissingInputError
from sentinode.models import RECORD_FILE, Run
from sentinode.tables import MapScore, PackedSet, Predictions, read_map_scores

__all__ = ["Candidate", "find_candidates", "predicted"]

PREDICTIONS = "predictions.parquet"
MAPS = "map_scores.json"
COLUMNS = ("id", "label")  # of the table of probabilities, beside one column a candidate


@final
@dataclass(frozen=True)
class Candidate:
    """One thing to compare.

    Attributes:
        name: Unique among them, and without a machine's folders.
        run: None where only predictions were given.
        predictions: None where none were found or made.
        maps: Scores of its maps, empty where there are none.
        beside: Whether the predictions were found beside the run, and not given.
    """

    name: str
    run: Run | None
    predictions: Predictions | None
    maps: tuple[MapScore, ...] = ()
    beside: bool = False


def find_candidates(
    runs: Sequence[str], predictions: Sequence[str] = (), maps: Sequence[Path] = ()
) -> list[Candidate]:
    """Open runs, whatever lies below a folder, and predictions.

    Predictions are a run's when they name its weights: those given, else a file
    ``predictions.parquet`` in the run's folder or beside it.

    Args:
        runs: Run folders, folders with run folders below them, or names of shipped weights.
        predictions: Files, or ``NAME=FILE``.
        maps: Files ``map_scores.json``, beside those in the runs' folders.

    Raises:
        MissingInputError: A folder holds no run, or a file is not there.
        InputError: A name stands twice or cannot be a column, or one run stands twice.
        CheckpointError: A run is damaged.
    """
    opened = [run for each in runs for run in _runs_at(each)]
    names = folder_names([run.folder for run in opened])
    _check_no_copies(opened, names)
    given = {name: Predictions.read(path) for name, path in map(_named, predictions)}
    if len(given) < len(predictions):
        raise InputError("two predictions have one name; give them as NAME=FILE")
    by_weights = _by_weights(given, {run.weights_hash for run in opened})
    scores = {digest: found for path in maps for digest, found in read_map_scores(path).items()}
    found = [
        Candidate(
            name,
            run,
            by_weights.get(run.weights_hash) or _beside(run),
            scores.get(run.weights_hash) or _scored(run),
            beside=run.weights_hash not in by_weights,
        )
        for name, run in zip(names, opened, strict=True)
    ]
    ours = {run.weights_hash for run in opened}
    found += [
        Candidate(name, None, p)
        for name, p in given.items()
        if p.note.get("weights_sha256") not in ours
    ]
    names = [each.name for each in found]
    if taken := set(COLUMNS) & set(names):
        raise InputError(
            f"{taken.pop()!r} is a column of the table of probabilities and cannot be a name; give "
            "predictions as NAME=FILE, a run in a folder of another name"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice!r} stands twice among what is compared; give each once")
    return found


def _by_weights(given: Mapping[str, Predictions], ours: set[str]) -> dict[str, Predictions]:
    """Return the predictions of each run by its weights, one for each."""
    found: dict[str, tuple[str, Predictions]] = {}
    for name, predictions in given.items():
        weights = str(predictions.note.get("weights_sha256"))
        if weights in ours and weights in found:
            raise InputError(
                f"{found[weights][0]} and {name} are predictions of the same run; give one of "
                "them, or both without the run"
            )
        found[weights] = (name, predictions)
    return {weights: predictions for weights, (_, predictions) in found.items()}


def _runs_at(name: str) -> list[Run]:
    folder = run_folder(name)
    if (folder / RECORD_FILE).is_file() or not folder.is_dir():
        return [Run.open(folder).taught()]
    below = sorted(path.parent for path in folder.rglob(RECORD_FILE))
    if not below:
        raise MissingInputError(
            f"{folder} holds no finished run, nor does any folder below it; give run folders, "
            f"or names that come with the package: {', '.join(weight_names())}"
        )
    runs = [Run.open(path) for path in below]
    return [run for run in runs if run.is_taught] or [runs[0].taught()]  # which refuses


def _check_no_copies(runs: Sequence[Run], names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for run, name in zip(runs, names, strict=True):
        other = first.setdefault(run.weights_hash, name)
        if run.weights_hash and other != name:
            raise InputError(
                f"{other} and {name} hold the same weights, so that one run would count twice; "
                "give one of them"
            )


def _named(given: str) -> tuple[str, Path]:
    name, equals, file = given.partition("=")
    if not equals or Path(given).is_file():
        return Path(given).stem, Path(given)
    return name, Path(file)


def _beside(run: Run) -> Predictions | None:
    for folder in (run.folder, run.folder.parent):
        path = folder / PREDICTIONS
        if path.is_file():
            found = Predictions.read(path)
            if found.note.get("weights_sha256") == run.weights_hash:
                return found
    return None


def _scored(run: Run) -> tuple[MapScore, ...]:
    for folder in (run.folder, run.folder.parent):
        if (folder / MAPS).is_file():
            return read_map_scores(folder / MAPS).get(run.weights_hash, ())
    return ()


def predicted(
    candidates: Sequence[Candidate], packed: PackedSet, config: Config, kept: Path
) -> list[Candidate]:
    """Predict the set with each run that has no predictions of it yet, and keep them.

    Args:
        candidates: What is compared.
        packed: The set.
        config: Its ``predict`` section is used.
        kept: Folder of the predictions, by the SHA-256 of weights and set.

    Raises:
        InputError: As of `predict_set`.
    """
    done = []
    for each in candidates:
        kept_as_they_are = each.predictions is not None and _is_of(each, packed)
        if each.run is None or kept_as_they_are:
            done.append(each)
            continue
        name = f"{each.run.weights_hash[:16]}-{packed.meta.content_hash[:16]}.parquet"
        made = predict_once(kept / name, each.run, packed, config)
        done.append(replace(each, predictions=made))
    return done


def _is_of(candidate: Candidate, packed: PackedSet) -> bool:
    """Whether predictions are of the set, were given, or do not say of which they are."""
    assert candidate.predictions is not None
    if not candidate.beside:
        return True
    made = candidate.predictions.note.get("provenance")
    inputs = made.get("inputs") if isinstance(made, Mapping) else None
    given = inputs.get("input") if isinstance(inputs, Mapping) else None
    return given is None or given == packed.meta.content_hash
