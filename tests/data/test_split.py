from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.sources import class_folders, kaggle, picture, save
from sentinode.config import AuditConfig, PackConfig, SplitConfig
from sentinode.data import audit, open_source, pack, split
from sentinode.data.splitting import _greedy
from sentinode.errors import InputError
from sentinode.tables import PackedSet, Split


def packed(root: Path) -> PackedSet:
    return pack(open_source(root), root.parent / "set", PackConfig())


def folds(made: Split) -> dict[str, list[str]]:
    return {f: sorted(p for ids in units.values() for p in ids) for f, units in made.units.items()}


def with_slides(root: Path, slides: int = 10, labelled: int = 60) -> Path:
    kaggle(root, labelled=labelled)
    lines = [f"a{i:03d},s{i * slides // (labelled + 4)}\n" for i in range(labelled + 4)]
    (root / "slide_map.csv").write_text("id,wsi\n" + "".join(lines))
    return root


def test_by_slide_where_slides_are_known(tmp_path: Path) -> None:
    opened = packed(with_slides(tmp_path / "k"))
    made = split(opened, SplitConfig())
    assert (made.by, made.optimistic) == ("slide", None)
    frame = opened.manifest.frame
    fold = made.folds_of(frame["id"])
    assert (fold.groupby(frame["slide"]).nunique() <= 2).all()  # a fold, and unlabelled
    labelled = frame["label"].notna()
    assert (fold[labelled].groupby(frame["slide"][labelled]).nunique() == 1).all()
    assert Split.read(opened.folder / "split.json") == made
    assert len(folds(made)["unlabelled"]) == 4
    assert all(len(folds(made)[f]) >= 6 for f in ("train", "valid", "test"))


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    opened = packed(with_slides(tmp_path / "k"))
    first = split(opened, SplitConfig())
    assert split(opened, SplitConfig()) == first
    assert split(opened, SplitConfig(seed=1)).units != first.units


def test_groups_of_duplicates_stay_together(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=60)
    for i in range(2, 40, 2):
        save(root / "train" / f"a{i:03d}.tif", np.rot90(picture(0), i // 2 % 4))
    opened = packed(root)
    made = split(opened, SplitConfig())
    assert made.by == "group"
    assert made.optimistic is not None
    together = [p for u in made.units.values() for ids in u.values() for p in ids if len(ids) > 1]
    assert set(together) == {f"a{i:03d}" for i in range(0, 40, 2)}


def test_random_only_when_asked(tmp_path: Path) -> None:
    opened = packed(with_slides(tmp_path / "k"))
    made = split(opened, SplitConfig(by="random"))
    assert made.by == "random"
    assert "at random" in str(made.optimistic)


def test_three_official_folds(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", folds=("train", "valid", "test"))
    made = split(packed(root), SplitConfig())
    assert made.by == "official"
    assert {f: len(ids) for f, ids in folds(made).items()} == {
        "train": 12,
        "valid": 12,
        "test": 12,
        "unlabelled": 0,
    }
    assert all(p.startswith("test/") for p in folds(made)["test"])


@pytest.mark.parametrize("other", ["valid", "test"])
def test_two_official_folds_report_the_other(other: str, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", per_class=20, folds=("train", other))
    made = split(packed(root), SplitConfig())
    assert {p.partition("/")[0] for p in folds(made)["test"]} == {other}
    assert {p.partition("/")[0] for p in folds(made)["valid"]} == {"train"}
    assert len(folds(made)["valid"]) == 6
    assert f"{other} is reported" in made.notes[0]


def test_a_patch_without_a_fold_among_official_ones_is_refused(tmp_path: Path) -> None:
    opened = packed(class_folders(tmp_path / "f", folds=("train", "valid", "test")))
    frame = opened.manifest.frame
    frame.loc[frame["id"] == "train/0/p1", "source_fold"] = pd.NA
    type(opened.manifest).make(frame, {}).write(opened.folder / "manifest.parquet")
    opened = PackedSet.open(opened.folder)
    for config in (SplitConfig(), SplitConfig(by="official")):
        with pytest.raises(InputError, match=r"1 of 36 patches have no fold.*'train/0/p1'.*--by"):
            split(opened, config)
    made = split(opened, SplitConfig(by="group"))
    assert made.notes == ("The source's own folds were not used.",)


def test_a_slide_in_two_official_folds_is_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", folds=("train", "valid", "test"))
    opened = packed(root)
    frame = opened.manifest.frame.assign(slide="s1")
    type(opened.manifest).make(frame, {}).write(opened.folder / "manifest.parquet")
    with pytest.raises(InputError, match="slide 's1' stands in the source's folds test and train"):
        split(PackedSet.open(opened.folder), SplitConfig())


def test_excluded_patches_are_in_no_fold(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=60)
    save(root / "train" / "a002.tif", np.zeros((24, 24, 3), np.uint8))
    opened = packed(root)
    audit(opened, AuditConfig())
    made = split(PackedSet.open(opened.folder), SplitConfig())
    assert made.folds_of(pd.Series(["a002", "a004"])).isna().tolist() == [True, False]


def test_limit_and_balance_touch_training_only(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k", labelled=100))
    whole = split(opened, SplitConfig())
    limited = split(opened, SplitConfig(limit=20))
    balanced = split(opened, SplitConfig(balance=7))
    labels = dict(zip(opened.manifest.frame["id"], opened.manifest.frame["label"], strict=True))
    assert limited.counts(labels)["train"] | {"units": 0} == {
        "units": 0,
        "patches": 20,
        "positive": 10,
        "negative": 10,
    }
    assert balanced.counts(labels)["train"]["positive"] == 7
    for made in (limited, balanced):
        assert folds(made)["test"] == folds(whole)["test"]
        assert set(folds(made)["train"]) < set(folds(whole)["train"])
    again = split(opened, SplitConfig(limit=20, draw_seed=43))
    for fold in ("valid", "test"):
        assert folds(again)[fold] == folds(limited)[fold]
    assert folds(again)["train"] != folds(limited)["train"]
    assert split(opened, SplitConfig(limit=20, draw_seed=42)).units == limited.units


def test_limit_and_balance_may_draw_what_chooses_as_well(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=200)
    labels = (root / "train_labels.csv").read_text().replace("5,1\n", "5,0\n")  # 120 of class 0
    (root / "train_labels.csv").write_text(labels)
    opened = packed(root)
    known = dict(zip(opened.manifest.frame["id"], opened.manifest.frame["label"], strict=True))
    config = SplitConfig(by="random", valid_fraction=0.2, test_fraction=0.2, draw="both")

    def found(**asked: int) -> list[tuple[int, int]]:
        counts = split(opened, config.model_copy(update=asked)).counts(known)
        return [(counts[f]["negative"], counts[f]["positive"]) for f in ("train", "valid", "test")]

    assert found() == [(72, 48), (24, 16), (24, 16)]
    assert found(limit=60) == [(36, 24), (9, 6), (24, 16)]
    assert found(balance=40) == [(40, 40), (10, 10), (24, 16)]
    assert found(balance=5000) == [(48, 48), (12, 12), (24, 16)]
    first, second = (
        split(opened, config.model_copy(update={"limit": 60} | s)) for s in ({}, {"draw_seed": 7})
    )
    assert folds(first)["valid"] == folds(second)["valid"]
    assert folds(first)["train"] != folds(second)["train"]
    assert "draw" not in SplitConfig(limit=60).fingerprint()


def test_a_split_without_a_seed_of_the_draw_is_what_it_was(tmp_path: Path) -> None:
    made = split(packed(kaggle(tmp_path / "k", labelled=60)), SplitConfig(limit=20))
    assert "draw_seed" not in made.provenance.config
    assert made.provenance.seeds == {"split": 42}
    later = SplitConfig(limit=20).drawn_again(2)
    assert (later.seed, later.draw_seed, later.drawn_again(1).draw_seed) == (42, 44, 45)
    assert later.fingerprint() == SplitConfig(limit=20).fingerprint() | {"draw_seed": 44}


@pytest.mark.parametrize(
    ("change", "config", "words"),
    [
        ({"label": 0}, {}, "both classes, got only label 0"),
        ({"slide": "s"}, {}, r"1 slide\(s\) cannot be split into 3 folds"),
        ({}, {"by": "slide"}, "no slides are known"),
        ({}, {"by": "official"}, "no folds of its own"),
        ({}, {"valid_fraction": 0.6, "test_fraction": 0.5}, "leave nothing to train on"),
        (
            {"slide": ["s0"] * 8 + ["s1"] * 8 + ["s2"] * 4, "label": [0, 1] * 8 + [0] * 4},
            {},
            "would get only label 0: 3 units are too few",
        ),
    ],
)
def test_what_cannot_be_split(
    change: dict[str, object], config: dict[str, object], words: str, tmp_path: Path
) -> None:
    opened = packed(kaggle(tmp_path / "k", unlabelled=0))
    frame = opened.manifest.frame.assign(**change)
    type(opened.manifest).make(frame, {}).write(opened.folder / "manifest.parquet")
    with pytest.raises(InputError, match=words):
        split(PackedSet.open(opened.folder), SplitConfig(**config))


def test_some_patches_without_a_slide(tmp_path: Path) -> None:
    root = with_slides(tmp_path / "k")
    text = (root / "slide_map.csv").read_text().replace("a001,s0\n", "")
    (root / "slide_map.csv").write_text(text)
    with pytest.raises(InputError, match="1 of 60 patches have no slide, as 'a001'"):
        split(packed(root), SplitConfig())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=30, max_size=120))
def test_folds_get_about_their_share(units: list[tuple[int, int]]) -> None:
    table = np.array(sorted(units, key=sum, reverse=True), float) + 1
    wanted = np.array([0.2, 0.2, 0.6])
    chosen = np.array(_greedy(table, wanted))
    shares = np.array([table[chosen == f].sum(0) for f in range(3)]) / table.sum(0)
    largest = (table / table.sum(0)).max()  # one unit may be all there is of a class
    assert np.abs(shares - wanted[:, None]).max() < 0.1 + largest


def test_cross_validation_reports_every_patch_once_and_parts_no_slide(tmp_path: Path) -> None:
    opened = packed(with_slides(tmp_path / "k", slides=12))
    reported: list[str] = []
    for fold in (1, 2, 3):
        made = split(opened, SplitConfig(folds=3, fold=fold))
        assert made.notes == (f"Fold {fold} of 3 of a cross-validation is reported.",)
        assert made.optimistic is None
        reported += folds(made)["test"]
        assert all(folds(made)[f] for f in ("train", "valid", "test"))
    labelled = opened.manifest.frame["label"].notna()
    assert sorted(reported) == sorted(opened.manifest.frame["id"][labelled])
    with pytest.raises(InputError, match=r"split\.fold is 4, of 3 folds"):
        split(opened, SplitConfig(folds=3, fold=4))
    with pytest.raises(InputError, match="cannot be dealt into 20 folds"):
        split(opened, SplitConfig(folds=20))


def with_centres(root: Path, *, patients: bool = False) -> Path:
    with_slides(root, slides=12)
    lines = (root / "slide_map.csv").read_text().splitlines()
    extra = [f",c{int(line.split('s')[1]) // 4}" for line in lines[1:]]
    head = "id,wsi,centre"
    if patients:
        extra = [
            e + f",p{int(li.split('s')[1]) // 2}" for e, li in zip(extra, lines[1:], strict=True)
        ]
        head += ",patient"
    rows = [line + e for line, e in zip(lines[1:], extra, strict=True)]
    (root / "slide_map.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def test_one_centre_left_out(tmp_path: Path) -> None:
    opened = packed(with_centres(tmp_path / "k"))
    made = split(opened, SplitConfig(leave_out="c1"))
    frame = opened.manifest.frame[opened.manifest.frame["label"].notna()]
    assert folds(made)["test"] == sorted(frame["id"][frame["centre"] == "c1"])
    assert made.optimistic is None
    with pytest.raises(InputError, match="leave_out is 'c9', the set has patches of c0, c1, c2"):
        split(opened, SplitConfig(leave_out="c9"))
    with pytest.raises(InputError, match="two ways"):
        split(opened, SplitConfig(leave_out="c1", folds=3))
    none = packed(with_slides(tmp_path / "n" / "k"))
    with pytest.raises(InputError, match="patches without a centre"):
        split(none, SplitConfig(leave_out="c1"))


def test_by_patient_where_patients_are_known(tmp_path: Path) -> None:
    opened = packed(with_centres(tmp_path / "k", patients=True))
    made = split(opened, SplitConfig())
    assert made.by == "patient"
    frame = opened.manifest.frame[opened.manifest.frame["label"].notna()]
    fold = made.folds_of(frame["id"])
    assert (fold.groupby(frame["patient"]).nunique() == 1).all()
    assert split(opened, SplitConfig(by="slide")).by == "slide"


def test_copies_in_several_folds_are_told_of(tmp_path: Path) -> None:
    root = with_slides(tmp_path / "k", slides=12)
    for i in (1, 58):  # of other slides than that of a000, with its copies turned
        save(root / "train" / f"a{i:03d}.tif", np.rot90(picture(0)))
    text = (root / "train_labels.csv").read_text()
    (root / "train_labels.csv").write_text(text.replace("a001,1", "a001,0"))
    opened = packed(root)
    assert split(opened, SplitConfig()).notes == ()
    audit(opened, AuditConfig(leave_out=()))
    opened = PackedSet.open(opened.folder)
    told = "1 group(s) of copies of one tissue, of duplicates.csv, stand in several folds."
    seeds = (split(opened, SplitConfig(seed=seed)) for seed in range(9))
    parted = {
        made.notes for made in seeds if len(set(made.folds_of(pd.Series(["a000", "a058"])))) > 1
    }
    assert parted == {(told,)}
    assert split(opened, SplitConfig(by="group")).notes == ()


def test_patients_without_slides(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k", labelled=60))
    frame = opened.manifest.frame.assign(patient=[f"p{i % 12}" for i in range(64)])
    type(opened.manifest).make(frame, {}).write(opened.folder / "manifest.parquet")
    assert split(PackedSet.open(opened.folder), SplitConfig()).by == "patient"


def test_a_slide_of_two_patients_is_refused(tmp_path: Path) -> None:
    root = with_centres(tmp_path / "k", patients=True)
    text = (root / "slide_map.csv").read_text()
    (root / "slide_map.csv").write_text(text.replace("a001,s0,c0,p0", "a001,s0,c0,p3"))
    opened = packed(root)
    with pytest.raises(InputError, match=r"slide 's0' has .* more than one patient \(p0, p3\)"):
        split(opened, SplitConfig())
    assert split(opened, SplitConfig(by="slide")).by == "slide"


def test_a_missing_patient_is_told_of(tmp_path: Path) -> None:
    root = with_centres(tmp_path / "k", patients=True)
    text = (root / "slide_map.csv").read_text()
    (root / "slide_map.csv").write_text(text.replace("a001,s0,c0,p0", "a001,s0,c0,"))
    opened = packed(root)
    made = split(opened, SplitConfig())
    assert made.by == "slide"
    assert "1 of 60 patches have no patient, as a001: the split is by slide" in made.notes[0]
    assert split(opened, SplitConfig(by="slide")).notes == ()


def test_a_copy_compressed_otherwise_stays_in_the_fold(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=40)
    tint = np.array([170, 110, 160])
    for i in range(0, 40, 4):
        wave = np.sin(np.arange(24) * (0.3 + i / 20))[:, None] * np.cos(np.arange(24) * 0.7)
        tissue = (tint + 50 * wave[..., None]).clip(0, 255).astype(np.uint8)
        save(root / "train" / f"a{i:03d}.tif", tissue)
        save(root / "train" / f"a{i + 1:03d}.tif", (tissue + np.uint8(1)).clip(0, 255))
    (root / "train_labels.csv").write_text(
        "id,label\n" + "".join(f"a{i:03d},{i // 2 % 2}\n" for i in range(40))
    )
    made = split(packed(root), SplitConfig())
    fold = {p: f for f, ids in folds(made).items() for p in ids}
    assert all(fold[f"a{i:03d}"] == fold[f"a{i + 1:03d}"] for i in range(0, 40, 4))
