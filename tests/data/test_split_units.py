"""Units by their names, folds of a rare class, and what the command is given as it is written."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from builders.sources import kaggle, picture, save
from sentinode.cli.main import app
from sentinode.config import AuditConfig, PackConfig, SplitConfig
from sentinode.data import audit, open_source, pack, split
from sentinode.errors import InputError
from sentinode.tables import PackedSet, Split


def packed(root: Path, **columns: object) -> PackedSet:
    """Pack a folder; ``columns`` replace those of the manifest."""
    made = pack(open_source(root), root.parent / "set", PackConfig())
    frame = made.manifest.frame.assign(**columns)
    type(made.manifest).make(frame, {}).write(made.folder / "manifest.parquet")
    return PackedSet.open(made.folder)


def rare(tmp_path: Path, tumour: int, labelled: int = 200) -> PackedSet:
    """Pack a set without slides, of which the first patches are tumour."""
    root = kaggle(tmp_path / "k", labelled=labelled, unlabelled=0)
    lines = [f"a{i:03d},{int(i < tumour)}\n" for i in range(labelled)]
    (root / "train_labels.csv").write_text("id,label\n" + "".join(lines))
    return packed(root)


def counts(opened: PackedSet, **asked: object) -> dict[str, tuple[int, int]]:
    frame = opened.manifest.frame
    made = split(opened, SplitConfig(**asked))
    found = made.counts(dict(zip(frame["id"], frame["label"], strict=True)))
    return {fold: (row["negative"], row["positive"]) for fold, row in found.items()}


@pytest.mark.parametrize("audited", [False, True])
def test_copies_of_unlabelled_patches(audited: bool, tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=60)
    for patch, copied in ((60, 0), (61, 7)):  # test/ stands before train/ in the set
        save(root / "test" / f"a{patch:03d}.tif", picture(copied))
    save(root / "train" / "a008.tif", picture(0))
    opened = packed(root)
    if audited:
        audit(opened, AuditConfig(leave_out=()))
        opened = PackedSet.open(opened.folder)
    made = split(opened, SplitConfig())
    assert made.by == "group"
    assert made.units["unlabelled"] == {f"a{i:03d}": (f"a{i:03d}",) for i in range(60, 64)}
    units = {
        name: ids for fold in ("train", "valid", "test") for name, ids in made.units[fold].items()
    }
    assert units["a000"] == ("a000", "a008")
    assert units["a007"] == ("a007",)
    assert Split.read(opened.folder / "split.json") == made


def test_a_slide_called_as_an_unlabelled_patch(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k", labelled=60)
    slides = [f"a06{i * 10 // 64}" for i in range(64)]
    opened = packed(root, slide=slides)
    made = split(opened, SplitConfig())
    names = {f"a06{i} (no label)": (f"a06{i}",) for i in range(4)}
    assert made.units["unlabelled"] == names
    labelled = [name for fold in ("train", "valid", "test") for name in made.units[fold]]
    assert sorted(labelled) == sorted(set(slides))
    fold = made.folds_of(pd.Series([f"a06{i}" for i in range(4)]))
    assert (fold == "unlabelled").all()


@pytest.mark.parametrize("draw", ["train", "both"])
def test_a_limit_keeps_one_of_a_rare_class(draw: str, tmp_path: Path) -> None:
    opened = rare(tmp_path, tumour=6)
    for limit in (2, 4, 20):
        found = counts(opened, limit=limit, draw=draw)
        assert sum(found["train"]) == limit
        for fold in ("train", "valid", "test"):
            assert min(found[fold]) > 0, (limit, fold, found)


def test_more_folds_than_patches_of_a_class(tmp_path: Path) -> None:
    opened = rare(tmp_path, tumour=4, labelled=8)
    words = r"4 patch\(es\) of a class cannot be dealt into 5 folds"
    with pytest.raises(InputError, match=words):
        split(opened, SplitConfig(folds=5))


def test_options_are_taken_as_they_are_written(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k", labelled=60), slide=[f"s{i % 12}" for i in range(64)])
    centres = [f"{i % 12 // 4}" for i in range(64)]
    frame = opened.manifest.frame.assign(centre=centres)
    type(opened.manifest).make(frame, {}).write(opened.folder / "manifest.parquet")
    run = CliRunner().invoke
    done = run(app, ["split", str(opened.folder), "--leave-out", "2", "--set", "split.seed=3"])
    assert done.exit_code == 0, done
    made = Split.read(opened.folder / "split.json")
    assert made.provenance.config["leave_out"] == "2"
    assert made.seed == 3
    done = run(app, ["split", str(opened.folder), "--by", "hospital"])
    assert "'auto', 'official'" in str(done.exception)
    done = run(app, ["split", str(opened.folder), "--limit", "1"])
    assert "greater than or equal to 2" in str(done.exception)
