"""Several networks as one: the mean of what they say of the same patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sentinode.core import hash_bytes, hash_json, provenance
from sentinode.errors import InputError
from sentinode.tables import Predictions
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["ensemble"]

LEAST = 1e-7  # of a probability, so that its logit is a number
SAID_OF_PATCHES = ("label", "fold", "slide", "x", "y")
KEPT_OF_A_MEMBER = (
    "model",
    "weights_sha256",
    "calibration",
    "precision",
    "orientations",
    "shades",
)


def ensemble(members: Mapping[str, Predictions]) -> Predictions:
    """Return the equally weighted mean of several predictions of the same patches.

    The mean is that of the logits; the probability is that of the mean logit of the members'
    probabilities, so that each member's calibration counts. What one member does not know of a
    patch, as its label, is taken from the next that does.

    Args:
        members: Predictions by name, at least two.

    Raises:
        InputError: There is one only, two are the same, they are of other patches, or what they
            say of a patch contradicts: label, fold, slide or place.
    """
    if len(members) < 2:
        raise InputError("an ensemble needs the predictions of two runs at least, got one")
    hashes = _hashes(members)
    (first, base), *others = members.items()
    table, frames = base.frame, [base.frame]
    for name, member in others:
        frames.append(_in_order(member.frame, table["id"], name, first))
        table = _filled(table, frames[-1], name)
    logits = np.stack([f["logit"].to_numpy("float64") for f in frames])
    p = np.stack([f["probability"].to_numpy("float64") for f in frames]).clip(LEAST, 1 - LEAST)
    odds = (np.log(p) - np.log1p(-p)).mean(0)
    mean = {"logit": logits.mean(0), "probability": np.exp(-np.logaddexp(0.0, -odds))}
    return Predictions.make(table.assign(**mean), _note(members, hashes))


def _hashes(members: Mapping[str, Predictions]) -> dict[str, str]:
    """Hash what each member says, and refuse one that counts twice."""
    found: dict[str, str] = {}
    for name, member in members.items():
        ordered = member.frame.sort_values("id")
        said = ordered[["logit", "probability"]].to_numpy("float64").tobytes()
        digest = hash_bytes("\n".join(ordered["id"]).encode() + said)
        twin = next((other for other, known in found.items() if known == digest), None)
        if twin is not None:
            raise InputError(f"{name} says the same as {twin}; each run counts once")
        found[name] = digest
    return found


def _in_order(frame: pd.DataFrame, ids: pd.Series[str], name: str, first: str) -> pd.DataFrame:
    missing = int((~ids.isin(frame["id"])).sum())
    more = len(frame) - (len(ids) - missing)
    if missing or more:
        raise InputError(
            f"{name} and {first} are of other patches: {missing:,} of {first} are missing in "
            f"{name}, {more:,} are in it alone; predict the same patches with both"
        )
    return frame.set_index("id").loc[ids.to_list()].reset_index()


def _filled(table: pd.DataFrame, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Take from ``frame`` what ``table`` does not know of a patch; refuse a contradiction."""
    for column in SAID_OF_PATCHES:
        known, said = table[column], frame[column]
        contrary = (known != said).fillna(False).to_numpy(bool)
        if contrary.any():
            row = int(np.flatnonzero(contrary)[0])
            raise InputError(
                f"patch {table['id'].iloc[row]!r} has {column} {said.iloc[row]} in {name} and "
                f"{known.iloc[row]} in what was given before"
            )
    return table.assign(**{c: table[c].fillna(frame[c]) for c in SAID_OF_PATCHES})


def _note(members: Mapping[str, Predictions], hashes: Mapping[str, str]) -> dict[str, Any]:
    kept = [
        {key: member.note[key] for key in KEPT_OF_A_MEMBER if key in member.note}
        | {"predictions_sha256": hashes[name]}
        for name, member in members.items()
    ]
    left_out: dict[str, str] = {}
    for member in members.values():
        left_out |= member.note.get("left_out", {})
    names = [str(member.note.get("model", name)) for name, member in members.items()]
    all_of_them = hash_json({"members": kept})
    made = provenance("ensemble", inputs={"members": all_of_them})
    taught = [member.note.get("trained_on") for member in members.values()]
    alike = taught[0] is not None and all(each == taught[0] for each in taught)
    return {
        "notice": RESEARCH_USE_ONLY,
        "model": "ensemble of " + ", ".join(names),
        "weights_sha256": all_of_them,  # of no run: no run may pass for what made this
        "members": kept,
        "left_out": left_out,
        "provenance": made.model_dump(mode="json"),
    } | ({"trained_on": taught[0]} if alike else {})
