import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinode.core import provenance, write_json
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import (
    HISTORY_COLUMNS,
    Manifest,
    PackedSet,
    Predictions,
    SetMeta,
    Split,
    history_facts,
    read_history,
    write_history,
)

MADE = provenance("test")


def manifest(n: int = 4) -> Manifest:
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "label": [i % 2 for i in range(n)]})
    return Manifest.make(frame, {"stage": "test"})


def split(**units: dict[str, tuple[str, ...]]) -> Split:
    return Split(
        by="slide", seed=1, manifest_hash="h", optimistic=None, units=units, provenance=MADE
    )  # type: ignore[arg-type]


def test_manifest_goes_to_disk_and_back_the_same_bytes(tmp_path: Path) -> None:
    first = manifest()
    first.write(tmp_path / "a.parquet")
    first.write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    again = Manifest.read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert again.note == first.note
    assert again.hash == first.hash


def test_manifest_hash_sees_labels_and_exclusions() -> None:
    base = manifest()
    frame = base.frame.copy()
    frame.loc[1, "excluded"] = "blur"
    assert Manifest.make(frame, {}).hash != base.hash
    assert Manifest.make(frame, {}).usable.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": ["a", "a"]}, "'a' stands more than once"),
        ({"id": ["a", None]}, "has no id"),
        ({"id": ["a"], "label": [2]}, "label 2 is not 0 or 1"),
        ({"id": ["a"], "label": ["tumour"]}, "column 'label' expected Int8"),
    ],
)
def test_manifest_refuses(columns: dict[str, list[object]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Manifest.make(pd.DataFrame(columns), {})


def test_manifest_finds_by_id_and_names_the_nearest() -> None:
    assert manifest().row_of("p2") == 2
    with pytest.raises(InputError, match="no patch 'p9' among 4"):
        manifest().row_of("p9")


def write_set(folder: Path, n: int = 4, size: int = 16) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", np.zeros((n, size, size, 3), np.uint8))
    np.save(folder / "coarse.npy", np.zeros((n, 8, 8, 3), np.uint8))
    manifest(n).write(folder / "manifest.parquet")
    meta = SetMeta(
        format=2, kind="test", count=n, size=size, mpp=None, content_hash="c", provenance=MADE
    )
    write_json(folder / "meta.json", meta.model_dump())


def test_packed_set_opens_and_its_damages_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with pytest.raises(MissingInputError, match="not a packed set"):
        PackedSet.open(folder)
    write_set(folder)
    opened = PackedSet.open(folder)
    assert opened.images.shape == (4, 16, 16, 3)
    assert not opened.images.flags.writeable
    meta = json.loads((folder / "meta.json").read_text())
    write_json(folder / "meta.json", {**meta, "format": 99})
    with pytest.raises(InputError, match="format 99"):
        PackedSet.open(folder)
    write_json(folder / "meta.json", {**meta, "count": 5})
    with pytest.raises(InputError, match="pack the source again"):
        PackedSet.open(folder)
    write_json(folder / "meta.json", {**meta, "count": "many"})
    with pytest.raises(InputError, match="damaged: count"):
        PackedSet.open(folder)
    write_json(folder / "meta.json", meta)
    data = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(data[:300])
    with pytest.raises(InputError, match=r"images\.npy is damaged"):
        PackedSet.open(folder)
    (folder / "images.npy").write_bytes(data)
    (folder / "manifest.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match="damaged: expected manifest"):
        PackedSet.open(folder)


def test_split_refuses_a_slide_or_patch_in_two_folds(tmp_path: Path) -> None:
    good = split(train={"s1": ("a", "b")}, test={"s2": ("c",)})
    path = tmp_path / "split.json"
    good.write(path)
    assert Split.read(path) == good
    assert good.folds_of(pd.Series(["c", "a", "z"])).tolist() == ["test", "train", pd.NA]
    values = json.loads(path.read_text())
    values["units"]["test"]["s1"] = ["d"]
    write_json(path, values)
    with pytest.raises(InputError, match="slide 's1' stands in folds t"):
        Split.read(path)
    values["units"]["test"] = {"s2": ["a"]}
    write_json(path, values)
    with pytest.raises(InputError, match="patch 'a' stands in folds t"):
        Split.read(path)


def test_split_belongs_to_one_manifest(tmp_path: Path) -> None:
    made = split(train={"s1": ("a",)})
    made.check_belongs("h", tmp_path / "split.json")
    with pytest.raises(InputError, match="split it again"):
        made.check_belongs("other", tmp_path / "split.json")


def test_split_counts() -> None:
    made = split(train={"s1": ("a", "b"), "s3": ("e",)}, test={"s2": ("c",)})
    counts = made.counts({"a": 1, "b": 0, "c": 1, "e": 0})
    assert counts["train"] == {"units": 2, "patches": 3, "positive": 1, "negative": 2}


def test_predictions_from_logits_and_from_probabilities(tmp_path: Path) -> None:
    from_logits = Predictions.make(pd.DataFrame({"id": ["a", "b"], "logit": [0.0, 800.0]}), {})
    assert from_logits.frame["probability"].tolist() == [0.5, 1.0]
    from_p = Predictions.make(pd.DataFrame({"id": ["a", "b"], "probability": [0.5, 0.0]}), {})
    assert from_p.frame["logit"].iloc[0] == 0
    assert np.isfinite(from_p.frame["logit"]).all()
    for name in ("p.csv", "p.parquet"):
        from_logits.write(tmp_path / name)
        again = Predictions.read(tmp_path / name)
        pd.testing.assert_frame_equal(again.frame, from_logits.frame)
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        from_logits.write(tmp_path / "p.txt")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"name": ["a"]}, "need the columns id and probability"),
        ({"id": ["a", "a"], "probability": [0.1, 0.2]}, "more than once"),
        ({"id": ["a"], "probability": [float("nan")]}, "'a' is nan"),
        ({"id": ["a"], "probability": [1.5]}, "expected a number in 0..1"),
        ({"id": ["a"], "probability": [0.5], "label": [3]}, "label 3"),
        ({"id": [None], "probability": [0.5]}, "no id"),
    ],
)
def test_predictions_refuse(columns: dict[str, list[object]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Predictions.make(pd.DataFrame(columns), {})


@pytest.mark.parametrize("column", ["logit", "probability"])
def test_numbers_whose_order_a_probability_loses_are_refused(column: str) -> None:
    logits = np.random.default_rng(0).normal(60, 10, 400)
    given = logits if column == "logit" else 1 - 10.0 ** -(8 + np.arange(400) / 100)
    table = pd.DataFrame({"id": [f"p{i}" for i in range(400)], column: given})
    with pytest.raises(InputError, match=f"the order of '{column}' .* is lost"):
        Predictions.of_others(table, {})
    some = table.assign(**{column: np.where(np.arange(400) < 100, given, np.arange(400) / 500)})
    assert (Predictions.of_others(some, {}).frame["probability"] == 1).sum() == 100
    assert len(Predictions.of_others(table[:3], {}).frame) == 3
    both = table.assign(probability=1.0, logit=logits)  # as a network's own calibration gives it
    assert len(Predictions.of_others(both, {}).frame) == 400
    assert len(Predictions.make(table, {}).frame) == 400  # of one's own network


def test_history(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: [1.0 / 3] for name in HISTORY_COLUMNS})
    write_history(tmp_path / "h.csv", frame)
    assert read_history(tmp_path / "h.csv")["loss"].iloc[0] == 1.0 / 3
    write_history(tmp_path / "h.csv", frame.drop(columns="valid_auc"))
    with pytest.raises(InputError, match="'valid_auc' is missing"):
        read_history(tmp_path / "h.csv")
    with pytest.raises(MissingInputError, match="no training history"):
        read_history(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected CSV with a header"),
        (b"\x89PNG\xff\xfe\x00", "expected CSV with a header"),
        (f"{','.join(HISTORY_COLUMNS)}\n1,0,0,0,0,high,0,0\n".encode(), "column 'valid_loss'"),
        (f"{','.join(HISTORY_COLUMNS)}\n,0,0,0,0,0,0,0\n".encode(), "column 'epoch' does not"),
    ],
)
def test_a_damaged_history_is_told_of(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"is damaged: .*{words}"):
        read_history(tmp_path / "h.csv")


@pytest.mark.parametrize("note", [b"made by hand", b"[1]", b"\xff"])
def test_a_table_whose_note_is_none_is_told_of(note: bytes, tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "probability": [0.5]}, metadata={b"sentinode": note})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match="a JSON object as its metadata 'sentinode'"):
        Predictions.read(tmp_path / "p.parquet")


def test_what_the_curves_show_is_counted() -> None:
    valid = [0.6, 0.5, 0.8, 0.45, 0.47, 0.9, 0.95, None]
    facts = history_facts(range(1, 9), [0.5] * 8, valid, 4)
    assert facts.spikes == (3, 6)
    assert facts.gap == pytest.approx(-0.05)
    assert facts.said() == (
        "8 epochs, the weights of epoch 4 kept; the validation loss spiked in 2 (3, 6) and ended "
        "0.050 below training's"
    )
    calm = history_facts([1, 2], [0.5, 0.3], [0.5, 0.4], None)
    assert (
        calm.said() == "2 epochs; the validation loss never spiked and ended 0.100 above training's"
    )
    assert history_facts([], [], [], None).said() == "0 epochs; the validation loss never spiked"
