"""The main job on a handful of patches, interrupted in every way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sentinode.config import Config, load_config
from sentinode.errors import InputError
from sentinode.pipeline import run_pipeline
from sentinode.tables import Predictions, Report

STAGES = ["pack", "audit", "split", "train", "predict", "evaluate", "submission"]
QUICK = ["train.epochs=2", "train.batch_size=16", "train.threads=1", "evaluate.resamples=100"]
RESULTS = ("run/model.safetensors", "run/history.csv", "predictions.parquet", "submission.csv")


def write_source(root: Path, labelled: int = 60, unlabelled: int = 6) -> Path:
    """Write Kaggle's layout; tumour patches have larger dark spots."""
    rng = np.random.default_rng(0)
    for folder in ("train", "test"):
        (root / folder).mkdir(parents=True)
    rows = []
    for i in range(labelled + unlabelled):
        label = i % 2
        spots = rng.random((96 // (4 + 4 * label),) * 2) < 0.3
        dark = np.kron(spots, np.ones((4 + 4 * label,) * 2))
        noise = rng.normal(0, 12, (96, 96, 3))
        pixels = np.array([220, 170, 210]) - 90 * dark[..., None] + noise
        folder = "train" if i < labelled else "test"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / folder / f"p{i:03d}.tif")
        if i < labelled:
            rows.append(f"p{i:03d},{label}\n")
    (root / "train_labels.csv").write_text("id,label\n" + "".join(rows))
    order = [f"p{i:03d},0\n" for i in reversed(range(labelled, labelled + unlabelled))]
    (root / "sample_submission.csv").write_text("id,label\n" + "".join(order))
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "kaggle")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(None, QUICK)


@pytest.fixture(scope="module")
def finished(
    source: Path, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("finished") / "out"
    said: list[str] = []
    run_pipeline(source, out, config, said.append)
    return out, said


def results(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in RESULTS}


def test_all_stages_from_files_to_report(finished: tuple[Path, list[str]]) -> None:
    out, said = finished
    assert [line.partition(":")[0] for line in said] == STAGES
    report = Report.read(out / "report" / "report.json")
    assert report.headline.startswith("Optimistic:")
    assert "Research use only" in (out / "report" / "report.html").read_text()
    records = json.loads((out / "stages.json").read_text())
    assert all(r["seconds"] >= 0 and r["peak_bytes"] > 0 for r in records.values())


def test_submission_has_probabilities_in_the_samples_order(
    finished: tuple[Path, list[str]], source: Path
) -> None:
    out, _ = finished
    table = pd.read_csv(out / "submission.csv")
    sample = pd.read_csv(source / "sample_submission.csv")
    assert table["id"].tolist() == sample["id"].tolist()
    made = Predictions.read(out / "predictions.parquet").frame.set_index("id")
    expected = made.loc[table["id"], "probability"].to_numpy()
    np.testing.assert_allclose(table["label"], expected, atol=1e-6)
    assert ((table["label"] > 0) & (table["label"] < 1)).all()


def test_a_damaged_test_image_gets_the_mean(config: Config, tmp_path: Path) -> None:
    source, said = write_source(tmp_path / "kaggle"), []
    (source / "test" / "p061.tif").write_bytes(b"")
    run_pipeline(source, tmp_path / "out", config, said.append)
    assert [line for line in said if line.startswith("1 test patch(es) cannot be used, as p061")]
    made = pd.read_csv(tmp_path / "out" / "submission.csv").set_index("id")["label"]
    assert len(made) == 6
    assert made["p061"] == pytest.approx(made.drop("p061").mean(), abs=1e-6)


def test_again_keeps_every_stage(
    finished: tuple[Path, list[str]], source: Path, config: Config
) -> None:
    out, _ = finished
    before = results(out)
    said: list[str] = []
    run_pipeline(source, out, config, said.append)
    assert said == [f"{stage}: done before, kept" for stage in STAGES]
    assert results(out) == before


def test_a_changed_setting_redoes_what_depends_on_it(
    source: Path, config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_pipeline(source, out, config, lambda _: None)
    said: list[str] = []
    other = load_config(None, [*QUICK, "evaluate.threshold=half"])
    run_pipeline(source, out, other, said.append)
    assert [s for s in said if "kept" not in s] == [s for s in said if s.startswith("evaluate")]
    other = load_config(None, [*QUICK, "train.seed=7"])
    with pytest.raises(InputError, match="--force"):
        run_pipeline(source, out, other, said.append)
    said.clear()
    run_pipeline(source, out, other, said.append, force=True)
    done_again = [s.partition(":")[0] for s in said if "kept" not in s]
    assert done_again == ["train", "predict", "evaluate", "submission"]


def test_a_changed_file_that_settings_name_redoes_what_depends_on_it(
    source: Path, tmp_path: Path
) -> None:
    verdicts, out = tmp_path / "verdicts.csv", tmp_path / "out"
    verdicts.write_text("id,verdict\np001,unusable\n")
    config = load_config(None, [*QUICK, f"audit.verdicts={verdicts}"])
    run_pipeline(source, out, config, lambda _: None)
    verdicts.write_text("id,verdict\np001,unusable\np002,unusable\n")
    said: list[str] = []
    with pytest.raises(InputError, match="--force"):  # the run is of other patches
        run_pipeline(source, out, config, said.append)
    assert [s.partition(":")[0] for s in said if "kept" not in s] == ["audit", "split"]


def test_several_seeds_share_the_set_and_are_told_apart(
    finished: tuple[Path, list[str]], source: Path, config: Config, tmp_path: Path
) -> None:
    alone, _ = finished
    out = tmp_path / "out"
    said: list[str] = []
    summary = run_pipeline(source, out, config, said.append, seeds=2)
    assert [line.partition(":")[0] for line in said] == [
        *("pack", "audit", "split"),
        *("train, seed 42", "predict, seed 42", "evaluate, seed 42"),
        *("train, seed 43", "predict, seed 43", "evaluate, seed 43"),
        *("ensemble", "compare", "evaluate", "submission"),
    ]
    first, second = (out / f"seed-{seed}" for seed in (42, 43))
    same = Path("run/model.safetensors")
    assert (first / same).read_bytes() == (alone / same).read_bytes()  # the seed alone decides
    assert (second / same).read_bytes() != (first / same).read_bytes()

    read = [Predictions.read(f / "predictions.parquet").frame for f in (first, second, out)]
    logits = [frame.set_index("id")["logit"].sort_index() for frame in read]
    np.testing.assert_allclose(logits[2], (logits[0] + logits[1]) / 2, atol=1e-5)
    reports = [Report.read(f / "report" / "report.json") for f in (first, second)]
    aucs = np.array([report.overall["roc_auc"].value for report in reports], float)
    mean, sd = aucs.mean(), aucs.std(ddof=1)
    assert any(f"{mean:.3f} ± {sd:.3f}" in line for line in summary.headline)

    said.clear()
    run_pipeline(source, out, config, said.append, seeds=2)
    assert all(line.endswith("done before, kept") for line in said)
    (out / "compare" / "compare.html").unlink()
    said.clear()
    summary = run_pipeline(source, out, config, said.append, seeds=3)
    again = [line.partition(":")[0] for line in said if "kept" not in line]
    own = ("train, seed 44", "predict, seed 44", "evaluate, seed 44")
    assert again == [*own, "ensemble", "compare", "evaluate", "submission"]
    assert len(summary.stages) == len(said)
    fewer = run_pipeline(source, out, config, lambda _: None, seeds=2)
    assert "train, seed 44" not in fewer.stages

    before = (out / "predictions.parquet").read_bytes()
    with pytest.raises(InputError, match="several seeds"):
        run_pipeline(source, out, config, said.append)
    with pytest.raises(InputError, match="one seed"):
        run_pipeline(source, alone, config, said.append, seeds=2)
    assert (out / "predictions.parquet").read_bytes() == before
    with pytest.raises(InputError, match="at least 2"):
        run_pipeline(source, out, config, said.append, seeds=1)


def test_a_damaged_output_is_made_again(
    finished: tuple[Path, list[str]], source: Path, config: Config
) -> None:
    out, _ = finished
    before = results(out)
    (out / "submission.csv").write_text("id,label\n")
    (out / "stages.json").write_text("{cut")
    run_pipeline(source, out, config, lambda _: None)
    assert results(out) == before


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    overrides = [part for key in QUICK for part in ("--set", key)]
    command = [sys.executable, "-m", "sentinode", "run", str(source), "--out", str(out)]
    return subprocess.Popen(
        [*command, *overrides], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None, f"ended before {path.name} was there"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_at_every_stage_it_ends_in_the_same_bytes(
    source: Path, finished: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for moment in (".lock", "set/meta.json", "run/state/state.json", "run/run.json"):
        with start(source, out) as process:
            wait_for(out / moment, process)
            os.kill(process.pid, signal.SIGKILL)
    with start(source, out) as again:
        _, errors = again.communicate(timeout=100)
    assert again.returncode == 0, errors
    assert results(out) == results(finished[0])


def test_interrupted_in_training_says_one_line(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(source, out) as process:
        wait_for(out / "run" / "state", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith("sentinode: interrupted; what was finished is kept")
    assert "Traceback" not in errors
    assert (out / "set" / "split.json").exists()
