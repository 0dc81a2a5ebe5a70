"""Real differences are called real, noise is not, and what is missing leaves a gap."""

import csv
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from builders.compared import LABELS, map_scores, written_run
from builders.pages import Page, outward
from builders.sets import tiny_spec
from sentinode.compare import (
    Comparison,
    common_patches,
    compare,
    comparison_markdown,
    comparison_page,
    find_candidates,
    published_experiments,
    published_of,
    write_comparison,
)
from sentinode.config import EvaluateConfig
from sentinode.core import read_json, write_json
from sentinode.errors import InputError, MissingInputError
from sentinode.metrics import delong_test
from sentinode.models import Run, spec, summarise
from sentinode.tables import Predictions

QUICK = EvaluateConfig(resamples=200)
SEEDS = (42, 43, 44)


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks of three seeds: two alike, one far worse."""
    root = tmp_path_factory.mktemp("experiments")
    for name, quality, rate in (("good", 2.0, 1e-3), ("alike", 2.0, 2e-3), ("bad", 0.6, 3e-3)):
        for seed in SEEDS:
            written_run(
                root / name / f"seed-{seed}", seed=seed, quality=quality, learning_rate=rate
            )
    return root


@pytest.fixture(scope="module")
def found(experiments: Path) -> Comparison:
    return compare(find_candidates([str(experiments)]), QUICK)


def aucs(experiments: Path, name: str) -> list[float]:
    return [
        roc_auc_score(LABELS, table["probability"])
        for seed in SEEDS
        for table in [pd.read_parquet(experiments / name / f"seed-{seed}" / "predictions.parquet")]
    ]


def test_seeds_are_taken_together_and_their_means_are_those_of_scikit_learn(
    experiments: Path, found: Comparison
) -> None:
    assert {group.name for group in found.groups} == {"good", "alike", "bad"}
    assert len(found.rows) == 9
    assert found.groups[-1].name == "bad"
    for group in found.groups:
        values = aucs(experiments, group.name)
        assert group.auc.value == pytest.approx(np.mean(values))
        assert group.auc_sd == pytest.approx(np.std(values, ddof=1))
        assert group.auc.low is not None
        assert group.auc.high is not None
        assert group.auc.low < np.mean(values) < group.auc.high
        assert group.means["parameters"].mean == summarise(tiny_spec()).parameters
        assert group.means["ms_per_step"].mean == pytest.approx(320)


def test_what_differs_is_real_and_what_does_not_is_not(found: Comparison) -> None:
    verdicts = {frozenset((d.first, d.second)): d for d in found.differences}
    for other in ("good", "alike"):
        each = verdicts[frozenset(("bad", other))]
        assert each.verdict == "real"
        assert abs(each.value) > 0.1
        assert each.holm_seeds is not None
        assert each.holm_seeds < 0.05
    same = verdicts[frozenset(("good", "alike"))]
    assert same.verdict in ("negligible", "not told apart")
    assert "2 are real" in found.findings[0]


def test_alike_enough_is_negligible(experiments: Path) -> None:
    wide = compare(find_candidates([str(experiments)]), QUICK, against="good", margin=0.1)
    verdicts = {each.first: each.verdict for each in wide.differences}
    assert verdicts == {"bad": "real", "alike": "negligible"}


def test_one_run_a_side_is_delong_and_never_real(experiments: Path) -> None:
    runs = [str(experiments / name / "seed-42" / "run") for name in ("good", "bad")]
    found = compare(find_candidates(runs), QUICK)
    each = found.differences[0]
    tables = [
        pd.read_parquet(experiments / name.partition("/")[0] / "seed-42" / "predictions.parquet")
        for name in (each.first, each.second)
    ]
    value, p = delong_test(LABELS, *(table["probability"] for table in tables))
    assert each.value == pytest.approx(value)
    assert each.p_patches == pytest.approx(p)
    assert each.p_seeds is None
    assert each.verdict == "these runs only"
    assert "what another seed would give is not known" in found.findings[-1]


def test_slides_are_resampled_where_they_are_known(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        written_run(tmp_path / name, seed=seed, slides=9, quality=seed, learning_rate=seed)
    found = compare(find_candidates([str(tmp_path)]), QUICK)
    assert found.unit == "slides"
    assert "9 slides" in found.headline
    each = found.differences[0]
    scores = [
        pd.read_parquet(tmp_path / name / "predictions.parquet")["probability"]
        for name in (each.first, each.second)
    ]
    rng, slides, values = np.random.default_rng(42), np.arange(400) % 9, []
    for _ in range(200):
        weights = np.bincount(rng.integers(0, 9, 9), minlength=9)[slides]
        a, b = (roc_auc_score(LABELS, s, sample_weight=weights) for s in scores)
        values.append(a - b)
    reach = 1.959964 * np.std(values, ddof=1)
    assert (each.low, each.high) == pytest.approx((each.value - reach, each.value + reach))


def test_sizes_of_the_training_set_make_a_learning_curve(tmp_path: Path) -> None:
    for patches, quality in ((500, 0.5), (1000, 1.0), (2000, 1.5)):
        for seed in (42, 43):
            written_run(
                tmp_path / f"n-{patches}" / f"seed-{seed}",
                seed=seed,
                quality=quality,
                patches=patches,
            )
    found = compare(find_candidates([str(tmp_path)]), QUICK)
    assert [point.patches for point in found.curves] == [500, 1000, 2000]
    assert [len(point.runs) for point in found.curves] == [2, 2, 2]
    line = np.polyfit(
        [np.log2(p.patches) for p in found.curves for _ in p.runs],
        [auc for p in found.curves for auc in p.runs],
        1,
    )
    assert f"a doubling of the training patches brings {line[0]:+.3f}" in comparison_markdown(found)
    assert "Learning curve of tiny" in Page(comparison_page(found)).text


def test_copies_of_a_run_do_not_count_as_seeds(experiments: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(experiments / "good" / "seed-42", tmp_path / "backup" / "seed-42")
    with pytest.raises(InputError, match=r"seed-42 and .*seed-42 hold the same weights"):
        find_candidates([str(experiments / "good"), str(copied)])
    for name, quality in (("good", 2.0), ("bad", 0.6)):
        for again in ("a", "b", "c"):
            written_run(
                tmp_path / "same" / name / again, seed=42, quality=quality, learning_rate=quality
            )
    found = compare(find_candidates([str(tmp_path / "same")]), QUICK)
    each = found.differences[0]
    assert (each.seeds, each.p_seeds, each.holm_seeds) == (False, None, None)
    assert each.spread == (None, None)
    assert each.verdict == "these runs only"
    assert any("good, bad are not each of a seed of its own" in w for w in found.warnings)
    assert not any(said.startswith("Another seed moves") for said in found.findings)


def theirs(folder: Path, name: str, probability: list[float], slides: list[str] | None) -> str:
    rows = np.arange(len(probability))
    table = pd.DataFrame({"id": [f"p{i:03d}" for i in rows], "probability": probability})
    table["label"] = [1] + [0] * (len(rows) - 1) if slides is None else rows % 2
    if slides is not None:
        table["slide"] = slides
    Predictions.make(table, {}).write(folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


@pytest.mark.parametrize(
    ("slides", "expected"),
    [
        (None, "tumour is in 1 of the patches"),
        (["s"] * 6, "tumour is in 1 of the slides"),
        (["n", "t"] * 3, "tumour is in 1 of the slides"),
    ],
)
def test_what_has_no_error_has_no_p_value(
    slides: list[str] | None, expected: str, tmp_path: Path
) -> None:
    files = [
        theirs(tmp_path, "one", [0.9, 0.2, 0.3, 0.4, 0.5, 0.6], slides),
        theirs(tmp_path, "two", [0.4, 0.5, 0.2, 0.3, 0.9, 0.6], slides),
    ]
    found = compare(find_candidates([], files), QUICK)
    assert found.differences == ()
    assert any(expected in warning for warning in found.warnings)
    assert all(row.auc.value is not None and row.auc.low is None for row in found.rows)
    assert "Comparison" in comparison_page(found)
    if slides is not None:
        few = f"Only {len(set(slides))} slides: intervals and p-values over them are rough"
        assert any(warning.startswith(few) for warning in found.warnings)


def test_a_difference_without_spread_is_left_out_and_told_of(tmp_path: Path) -> None:
    slides = ["a", "a", "b", "b", "c", "c"]
    files = [
        theirs(tmp_path, "perfect", [0.1, 0.9] * 3, slides),
        theirs(tmp_path, "flat", [0.5] * 6, slides),
        theirs(tmp_path, "some", [0.1, 0.9, 0.6, 0.5, 0.2, 0.7], slides),
    ]
    found = compare(find_candidates([], files), QUICK)
    pairs = {frozenset((d.first, d.second)) for d in found.differences}
    assert pairs == {frozenset(("perfect", "some")), frozenset(("flat", "some"))}
    assert any(w.startswith("1 comparison left out") for w in found.warnings)


def test_negligible_is_judged_at_a_level_for_all_comparisons(tmp_path: Path) -> None:
    for number in range(6):
        for seed in SEEDS:
            written_run(
                tmp_path / f"g{number}" / f"seed-{seed}",
                seed=seed + 100 * number,
                quality=2.0,
                learning_rate=number + 1,
            )
    candidates = find_candidates([str(tmp_path)])
    reach = max(max(-d.low, d.high) for d in compare(candidates, QUICK).differences)
    found = compare(candidates, QUICK, margin=reach * 1.0001)
    assert all(-found.margin < d.low and d.high < found.margin for d in found.differences)
    widest = max(found.differences, key=lambda d: max(-d.low, d.high))
    assert widest.verdict == "not told apart"  # within at 95 %, not at 1 - 0.05 / 15
    wide = compare(candidates, QUICK, margin=10 * reach)
    assert {d.verdict for d in wide.differences} == {"negligible"}
    assert "interval of 99.67 %" in wide.differences[0].said
    assert "of 99.67 % for 15 comparisons" in comparison_markdown(wide)


def test_another_set_is_another_curve(tmp_path: Path) -> None:
    for patches, inputs in ((500, "s"), (1000, "s"), (2000, "other"), (4000, "other")):
        run = written_run(tmp_path / f"n-{patches}" / "seed-1", patches=patches)
        record = read_json(run / "run.json")
        record["provenance"]["inputs"]["set"] = inputs
        write_json(run / "run.json", record)
    found = compare(find_candidates([str(tmp_path)]), QUICK)
    curves = {
        name: [p.patches for p in found.curves if p.curve == name]
        for name in {p.curve for p in found.curves}
    }
    assert sorted(curves.values()) == [[500, 1000], [2000, 4000]]


def test_a_leaderboard_is_joined_by_run_or_group(experiments: Path, tmp_path: Path) -> None:
    boards = tmp_path / "boards.csv"
    boards.write_text("name,public,private\ngood,0.84,0.85\nbad/seed-43,0.7,0.71\n")
    found = compare(find_candidates([str(experiments)]), QUICK, leaderboard=boards)
    assert {g.name: g.boards for g in found.groups}["good"] == {"public": 0.84, "private": 0.85}
    assert "| public board |" in comparison_markdown(found)
    kaggle = "fileName,date,publicScore,privateScore\nbad.csv,x,0.7,0.71\nother.csv,x,0.5,0.5\n"
    boards.write_text(kaggle)
    found = compare(find_candidates([str(experiments)]), QUICK, leaderboard=boards)
    assert {g.name: g.boards for g in found.groups}["bad"] == {"public": 0.7, "private": 0.71}
    for text, expected in (
        ("name,public\ngod,0.8\n", "unknown run 'god'"),
        ("name,public\ngood,0.8\ngood,0.9\n", "stands more than once"),
        ("who,public\ngood,0.8\n", "expected a column name"),
        ("name,public\ngood,high\n", "public of 'good' is 'high'; expected numbers"),
        ("name,day\ngood,Monday\n", "no column of scores"),
        ("name,public\ngood,0.8\nbad,inf\n", "a score of 'bad' is infinite"),
    ):
        boards.write_text(text)
        with pytest.raises(InputError, match=expected):
            compare(find_candidates([str(experiments)]), QUICK, leaderboard=boards)


def test_anybodys_predictions_and_map_scores_take_part(experiments: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [f"p{i:03d}" for i in range(400)], "label": LABELS})
    Predictions.make(table.assign(probability=LABELS * 0.8 + 0.1), {}).write(
        tmp_path / "theirs.csv"
    )
    run = written_run(tmp_path / "ours")
    write_json(run / "map_scores.json", map_scores(Run.open(run).weights_hash))
    found = compare(
        find_candidates([str(run)], [f"perfect={tmp_path / 'theirs.csv'}"]),
        QUICK,
        against="perfect",
    )
    rows = {row.name: row for row in found.rows}
    assert rows["perfect"].auc.value == 1.0
    assert rows["perfect"].figures["test_accuracy"] == 1.0
    assert rows["ours"].maps == {
        "network, set: logit": 0.25,
        "gradcam, set: centre_share": 0.25,
        "gradcam, set: iou": 0.25,
    }
    assert "| group | centre share | iou |" in comparison_markdown(found)


def test_files_are_whole_self_contained_and_the_same_each_time(
    found: Comparison, tmp_path: Path
) -> None:
    page = write_comparison(found, tmp_path / "out")
    text = page.read_text()
    assert outward(text) == []
    read = Page(text)
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    for said in ("Research use only", *found.findings, found.differences[0].said):
        assert said in read.text
    assert Comparison.model_validate(read_json(tmp_path / "out" / "compare.json")) == found
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert runs["test_auc"].tolist() == pytest.approx([row.auc.value for row in found.rows])
    assert len(pd.read_csv(tmp_path / "out" / "differences.csv")) == 3
    assert comparison_page(found) == text


def test_nothing_of_an_earlier_comparison_stays_beside_a_later_one(
    experiments: Path, found: Comparison, tmp_path: Path
) -> None:
    candidates = find_candidates([str(experiments)])
    write_comparison(found, tmp_path, common_patches(candidates, None))
    one = find_candidates([str(experiments / "good" / "seed-42" / "run")])
    assert {"differences.csv", "probabilities.parquet"} <= {p.name for p in tmp_path.iterdir()}
    write_comparison(compare(one, QUICK), tmp_path)
    assert not {"differences.csv", "probabilities.parquet"} & {p.name for p in tmp_path.iterdir()}


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    written_run(tmp_path / "a")
    written_run(tmp_path / "b", predict=False, learning_rate=2e-3)
    found = compare(find_candidates([str(tmp_path)]), QUICK)
    rows = {row.name: row for row in found.rows}
    assert not any("another set" in warning for warning in found.warnings)
    assert rows["b"].auc.value is None
    assert rows["b"].figures["valid_auc"] == 0.8
    assert "Without predictions, and so not scored: b." in found.warnings
    assert found.differences == ()
    table = pd.DataFrame({"id": ["x", "y"], "label": [1, 1], "probability": [0.5, 0.6]})
    Predictions.make(table, {}).write(tmp_path / "one.csv")
    one = compare(find_candidates([], [str(tmp_path / "one.csv")]), QUICK)
    assert one.rows[0].auc.note == "needs patches of both classes"
    assert any("one class" in warning for warning in one.warnings)
    assert "Comparison" in comparison_page(one)


def test_a_run_of_another_set_is_told_of(tmp_path: Path) -> None:
    run = written_run(tmp_path / "a")
    table = Predictions.read(tmp_path / "a" / "predictions.parquet")
    note = {**table.note, "provenance": {"inputs": {"input": "other"}}}
    Predictions(table.frame, note).write(run.parent / "predictions.parquet")
    found = compare(find_candidates([str(run)]), QUICK)
    assert any(said.endswith("which may share slides with it: a.") for said in found.warnings)


def test_bad_questions_are_answered(experiments: Path, tmp_path: Path) -> None:
    candidates = find_candidates([str(experiments)])
    with pytest.raises(InputError, match="expected runs or predictions"):
        compare([], QUICK)
    with pytest.raises(InputError, match=r"unknown group 'god'.*good"):
        compare(candidates, QUICK, against="god")
    for margin in (0, -0.1, np.inf, np.nan):
        with pytest.raises(InputError, match="expected a number above 0, got"):
            compare(candidates, QUICK, margin=margin)
    with pytest.raises(MissingInputError, match="no leaderboard"):
        compare(candidates, QUICK, leaderboard=tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="holds no finished run"):
        find_candidates([str(tmp_path / "empty")])
    one = str(experiments / "good" / "seed-42" / "run")
    with pytest.raises(InputError, match="given twice"):
        find_candidates([one, one])
    written_run(tmp_path / "bare", predict=False)
    with pytest.raises(InputError, match="no predictions to compare"):
        compare(find_candidates([str(tmp_path / "bare")]), QUICK)
    other = pd.DataFrame({"id": ["x", "y"], "label": [0, 1], "probability": [0.5, 0.6]})
    Predictions.make(other, {}).write(tmp_path / "other.csv")
    with pytest.raises(InputError, match="no labelled patch was predicted by all"):
        compare(find_candidates([one], [str(tmp_path / "other.csv")]), QUICK)
    wrong = pd.DataFrame({"id": ["p000", "p001"], "label": [1, 0], "probability": [0.5, 0.6]})
    Predictions.make(wrong, {}).write(tmp_path / "wrong.csv")
    with pytest.raises(InputError, match="has two labels"):
        compare(find_candidates([one], [str(tmp_path / "wrong.csv")]), QUICK)


def test_published_figures_say_what_they_are() -> None:
    text = (files("sentinode.compare") / "published.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert all(row["what"] for row in rows)
    for row in rows:
        assert spec(row["network"]).name == row["network"]
    assert published_experiments()["first-gray"] == {
        "accuracy": 0.85,
        "public": 0.8382,
        "private": 0.8503,
    }
    assert published_of("baseline-gray", 1e-3, 1600)["private"] == 0.8503
    assert published_of("baseline-gray", 1e-3, 190_000)["private"] == 0.8636
    assert published_of("flat-32", 1e-4, 1000)["auc"] == 0.9173
    assert published_of("flat-32", 5e-4, 1000) == {}
    assert published_of("nodenet-base", 1e-3, None) == {}
    assert not re.search(r"\s,|,\s", ",".join(rows[0]))
