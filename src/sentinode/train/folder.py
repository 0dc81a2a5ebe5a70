"""The folder of a run that is made: what lies there is kept, gone on from, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinode.core import leftovers
from sentinode.errors import InputError
from sentinode.models import (
    CONFIG_FILE,
    RECORD_FILE,
    STATE_FOLDER,
    WEIGHTS_FILE,
    forget_run,
    read_record,
)
from sentinode.train.plan import differences
from sentinode.train.stored import (
    STATE_FILE,
    StateError,
    read_state,
    read_tensors,
    remove_state,
)

__all__ = ["STATE_FOLDER", "make_way"]


def make_way(out: Path, made_from: Mapping[str, Any], force: bool) -> None:
    """Keep what was made from the same; refuse what was not, or remove it where forced.

    Args:
        out: Run folder.
        made_from: All that shapes the weights, as of `Plan`.
        force: Whether another run may go.

    Raises:
        InputError: Another run lies there, or a file that would be overwritten.
        StateError: A training was cut short there, and what it left is damaged.
    """
    for leftover in leftovers(out):
        leftover.unlink()
    if force and not _going_on(out, made_from):
        forget_run(out)
        remove_state(out / STATE_FOLDER)
    stored = _stored(out)
    if stored is not None and (differing := differences(made_from, stored)):
        raise InputError(
            f"{out} holds a run made otherwise ({', '.join(differing)}); "
            "choose another --out, or start over with --force"
        )
    if (out / RECORD_FILE).is_file():  # of a training that was killed when all was done
        remove_state(out / STATE_FOLDER)
    elif stored is None and _holds_config_alone(out):
        raise InputError(
            f"{out / CONFIG_FILE} is of no run and would be overwritten; choose another --out"
        )


def _holds_config_alone(out: Path) -> bool:
    """Whether a configuration lies there without weights, beside which every run's own lies."""
    return (out / CONFIG_FILE).exists() and not (out / WEIGHTS_FILE).is_file()


def _going_on(out: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether this very training was begun there and cut short."""
    state = out / STATE_FOLDER
    if (out / RECORD_FILE).is_file() or not (state / STATE_FILE).is_file():
        return False
    try:
        values = read_state(state)
        read_tensors(state, values)
    except StateError:
        return False
    return not differences(made_from, values["made_from"])


def _stored(out: Path) -> Mapping[str, Any] | None:
    if (out / RECORD_FILE).is_file():
        made = read_record(out).provenance
        return {"config": made.config, "inputs": made.inputs}
    if (out / STATE_FOLDER / STATE_FILE).is_file():
        begun: Mapping[str, Any] = read_state(out / STATE_FOLDER)["made_from"]
        return begun
    return None
