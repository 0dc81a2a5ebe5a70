"""Several networks as one: the mean of what they say of the same patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sentinode.core import hash_json, provenance
from sentinode.errors import InputError
from sentinode.tables import Predictions
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["ensemble"]

LEAST = 1e-7  # of a probability, so that its logit is a number
KEPT_OF_A_MEMBER = ("model", "weights_sha256", "calibration", "precision", "orientations")


def ensemble(members: Mapping[str, Predictions]) -> Predictions:
    """Return the equally weighted mean of several predictions of the same patches.

    The mean is that of the logits; the probability is that of the mean logit of the members'
    probabilities, so that each member's calibration counts.

    Args:
        members: Predictions by name, at least two.

    Raises:
        InputError: There is one only, they are of other patches, or their labels contradict.
    """
    if len(members) < 2:
        raise InputError("an ensemble needs the predictions of two runs at least, got one")
    (first, base), *others = members.items()
    ids = base.frame["id"]
    frames = [base.frame]
    for name, member in others:
        frames.append(_in_order(member.frame, ids, name, first))
        _check_labels(base.frame, frames[-1], name, first)
    logits = np.stack([f["logit"].to_numpy("float64") for f in frames])
    p = np.stack([f["probability"].to_numpy("float64") for f in frames]).clip(LEAST, 1 - LEAST)
    odds = (np.log(p) - np.log1p(-p)).mean(0)
    mean = {"logit": logits.mean(0), "probability": np.exp(-np.logaddexp(0.0, -odds))}
    notes = {name: _kept(member.note) for name, member in members.items()}
    made = provenance("ensemble", inputs={"members": hash_json(notes)})
    note = {
        "notice": RESEARCH_USE_ONLY,
        "model": "ensemble of " + ", ".join(members),
        "members": notes,
        "provenance": made.model_dump(mode="json"),
    }
    return Predictions.make(base.frame.assign(**mean), note)


def _in_order(frame: pd.DataFrame, ids: pd.Series[str], name: str, first: str) -> pd.DataFrame:
    missing = int((~ids.isin(frame["id"])).sum())
    more = len(frame) - (len(ids) - missing)
    if missing or more:
        raise InputError(
            f"{name} and {first} are of other patches: {missing:,} of {first} are missing in "
            f"{name}, {more:,} are in it alone; predict the same patches with both"
        )
    return frame.set_index("id").loc[ids.to_list()].reset_index()


def _check_labels(frame: pd.DataFrame, other: pd.DataFrame, name: str, first: str) -> None:
    contrary = (frame["label"] != other["label"]).fillna(False).to_numpy(bool)
    if contrary.any():
        row = int(np.flatnonzero(contrary)[0])
        raise InputError(
            f"patch {frame['id'].iloc[row]!r} has label {frame['label'].iloc[row]} in {first} and "
            f"{other['label'].iloc[row]} in {name}"
        )


def _kept(note: Mapping[str, Any]) -> dict[str, Any]:
    return {key: note[key] for key in KEPT_OF_A_MEMBER if key in note}
