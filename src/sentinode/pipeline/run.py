"""The main job: from a source to a report, stage by stage, kept where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sentinode.config import Config, ModelConfig, changed, resolved_toml
from sentinode.core import folder_lock, hash_file, read_json, write_text
from sentinode.errors import InputError
from sentinode.pipeline.ledger import Ledger, StageRecord
from sentinode.tables import CALIBRATION_FILE, PackedSet, Predictions, Report, Split

__all__ = ["RunSummary", "run_pipeline"]

SAMPLE_SUBMISSION = "sample_submission.csv"


@final
@dataclass(frozen=True)
class RunSummary:
    """What the main job left.

    Attributes:
        report: The page to read.
        comparison: The page with the spread over seeds, where there are several.
        submission: The Kaggle submission, where the source has a sample of one.
        headline: The figures that matter most, a line each.
        stages: Wall time and memory of each stage, by name.
    """

    report: Path
    comparison: Path | None
    submission: Path | None
    headline: tuple[str, ...]
    stages: dict[str, StageRecord]


def run_pipeline(
    source: Path,
    out: Path,
    config: Config,
    say: Callable[[str], None] = print,
    *,
    seeds: int | None = None,
    force: bool = False,
) -> RunSummary:
    """Do all stages from a source's files to a report; a stage that is done is kept.

    With several seeds each has its network, predictions and report in a folder ``seed-42``; the
    predictions, report and submission of ``out`` are then those of their mean, and ``compare``
    has means and standard deviations.

    Args:
        source: Kaggle's layout or class folders.
        out: Folder of everything that is written.
        config: Settings of all stages.
        say: Called with one line for each stage.
        seeds: How many seeds to train with, ``train.seed`` and those after it, at least 2.
        force: Train anew where ``out`` holds a network trained otherwise, which is refused else.

    Raises:
        InputError: One seed where several are asked for, or ``out`` holds a job with one seed
            where this one has several, or the other way round.
        SentinodeError: The input cannot be used, or the machine has no room; what was finished
            is kept.
    """
    if seeds is not None and seeds < 2:
        raise InputError(f"the spread over seeds needs at least 2 of them, got {seeds}")
    with folder_lock(out):
        _check_alike(out, several=seeds is not None)
        write_text(out / "config.toml", resolved_toml(config))
        job = _Job(source, out, config, say, force)
        job.prepare()
        if seeds is None:
            job.learn(job.whole, config)
            return job.tell(job.whole.run)
        first = config.train.seed
        places = {s: _Place(out / f"seed-{s}", s) for s in range(first, first + seeds)}
        for seed, place in places.items():
            job.learn(place, changed(config, {"train.seed": seed}))
            job.evaluate(place, place.run)
        members = list(places.values())
        job.join(members)
        return job.tell(None, job.compare(members))


@final
@dataclass(frozen=True)
class _Place:
    """Where a network, its predictions and its report lie, and the names of their stages."""

    folder: Path
    seed: int | None = None

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.parquet"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    def stage(self, name: str) -> str:
        return name if self.seed is None else f"{name}, seed {self.seed}"


@final
class _Job:
    """The stages in order; each reads from disk what the one before left there."""

    def __init__(
        self, source: Path, out: Path, config: Config, say: Callable[[str], None], force: bool
    ) -> None:
        self.source, self.config, self.force = source, config, force
        self.set, self.whole = out / "set", _Place(out)
        self.submission, self.comparison = out / "submission.csv", out / "compare"
        self.say, self.ledger = say, Ledger(out, say)

    def prepare(self) -> None:
        """Source -> packed, audited and split set."""
        from sentinode import data

        source = data.open_source(self.source)
        stage = self.ledger.stage
        stage(
            "pack",
            {"config": self.config.pack.fingerprint(), "source": source.fingerprint()},
            [self.set / "meta.json", self.set / "images.npy"],
            lambda: data.pack(source, self.set, self.config.pack),
        )
        stage(
            "audit",
            {
                "config": self.config.audit.fingerprint(),
                "set": hash_file(self.set / "meta.json"),
                **_hashes(self.config.audit.exclude_ids, self.config.audit.verdicts),
            },
            [self.set / "audit.json", self.set / "manifest.parquet"],
            lambda: data.audit(PackedSet.open(self.set), self.config.audit),
        )
        stage(
            "split",
            {
                "config": self.config.split.fingerprint(),
                "manifest": PackedSet.open(self.set).manifest.hash,
            },
            [self.set / "split.json"],
            lambda: data.split(PackedSet.open(self.set), self.config.split),
        )

    def learn(self, place: _Place, config: Config) -> None:
        """Split set -> network -> predictions."""
        from sentinode.train import train, weights_behind

        opened, split = PackedSet.open(self.set), Split.read(self.set / "split.json")
        self.ledger.stage(
            place.stage("train"),
            {
                "config": [
                    section.fingerprint()
                    for section in (config.model, config.train, config.augment)
                ],
                "set": opened.meta.content_hash,
                "split": split.hash,
                **weights_behind(config.train),
                **_encoder(config.model),
            },
            [place.run / name for name in ("run.json", "model.safetensors", "history.csv")],
            lambda: train(opened, split, config, place.run, force=self.force),
        )
        self.ledger.stage(
            place.stage("predict"),
            {
                "config": config.predict.fingerprint(),
                "set": opened.meta.content_hash,
                "split": split.hash,
                "weights": hash_file(place.run / "model.safetensors"),
                **_calibration(place.run),
            },
            _predicted(place),
            lambda: self._predict(place),
        )

    def evaluate(self, place: _Place, run: Path | None) -> None:
        """Predictions, and the run they are of, -> report."""
        self.ledger.stage(
            place.stage("evaluate"),
            {
                "config": self.config.evaluate.fingerprint(),
                "predictions": hash_file(place.predictions),
                "run": hash_file(run / "run.json") if run is not None else None,
                "manifest": hash_file(self.set / "manifest.parquet"),  # slides, centres
            },
            [place.report / "report.html", place.report / "report.json"],
            lambda: self._evaluate(place, run),
        )

    def join(self, members: list[_Place]) -> None:
        """Predictions of every seed -> their mean."""
        from sentinode.predict import ensemble

        def work() -> None:
            read = {str(place.seed): Predictions.read(place.predictions) for place in members}
            made = ensemble(read)
            for path in _predicted(self.whole):
                made.write(path)

        self.ledger.stage(
            "ensemble",
            {"members": [hash_file(place.predictions) for place in members]},
            _predicted(self.whole),
            work,
        )

    def compare(self, members: list[_Place]) -> Path:
        """Networks and predictions of every seed -> the spread of their figures."""
        from sentinode.compare import Candidate, compare, write_comparison
        from sentinode.models import Run

        def work() -> None:
            candidates = [
                Candidate(
                    f"{self.config.model.name}/seed-{place.seed}",
                    Run.open(place.run),
                    Predictions.read(place.predictions),
                )
                for place in members
            ]
            write_comparison(compare(candidates, config, packed=opened), self.comparison)

        opened, config = PackedSet.open(self.set), self.config.evaluate
        page = self.comparison / "compare.html"
        self.ledger.stage(
            "compare",
            {
                "config": config.fingerprint(),
                "predictions": [hash_file(place.predictions) for place in members],
                "runs": [hash_file(place.run / "run.json") for place in members],
            },
            [page, self.comparison / "compare.json"],
            work,
        )
        return page

    def tell(self, run: Path | None, comparison: Path | None = None) -> RunSummary:
        """Predictions, of one run or of a mean, -> report and submission."""
        from sentinode.evaluate import headline_lines
        from sentinode.export import submission

        self.evaluate(self.whole, run)
        predictions, sample = self.whole.predictions, self.source / SAMPLE_SUBMISSION
        if sample.is_file():
            aside = self._put_aside()
            self.ledger.stage(
                "submission",
                {"predictions": hash_file(predictions), "sample": hash_file(sample)},
                [self.submission],
                lambda: submission(
                    Predictions.read(predictions), sample, self.submission, put_aside=aside
                ),
            )
        return RunSummary(
            report=self.whole.report / "report.html",
            comparison=comparison,
            submission=self.submission if sample.is_file() else None,
            headline=(
                *headline_lines(Report.read(self.whole.report / "report.json")),
                *(_spread(comparison.with_suffix(".json")) if comparison is not None else ()),
            ),
            stages=self.ledger.visited,
        )

    def _put_aside(self) -> list[str]:
        """Return the test patches that packing could not use, and say what becomes of them."""
        frame = PackedSet.open(self.set).manifest.frame
        test = frame[frame["problem"].notna() & (frame["source_fold"] == "test")]
        if len(test):
            self.say(
                f"{len(test):,} test patch(es) cannot be used, as {test['id'].iloc[0]} "
                f"({test['problem'].iloc[0]}): the submission has the mean probability for them"
            )
        return test["id"].tolist()

    def _predict(self, place: _Place) -> None:
        from sentinode.models import Run
        from sentinode.predict import predict_set

        made = predict_set(Run.open(place.run), PackedSet.open(self.set), self.config)
        for path in _predicted(place):
            made.write(path)

    def _evaluate(self, place: _Place, run: Path | None) -> None:
        from sentinode.evaluate import evaluate, write_report

        packed = PackedSet.open(self.set)
        report = evaluate(
            Predictions.read(place.predictions),
            self.config.evaluate,
            packed=packed,
            split=Split.read(self.set / "split.json"),
            run_folder=run,
        )
        write_report(report, place.report, packed=packed)


def _check_alike(out: Path, *, several: bool) -> None:
    """Refuse a folder whose results would stand beside others that they do not describe."""
    if several and (out / "run").is_dir():
        raise InputError(f"{out} holds a network of one seed; choose another --out for several")
    if not several and any(out.glob("seed-*/run")):
        raise InputError(
            f"{out} holds networks of several seeds; give --seeds as before, or another --out"
        )


def _spread(comparison: Path) -> list[str]:
    """Say how far the figures of single seeds lie apart."""
    from sentinode.compare import Comparison

    said = []
    for group in Comparison.model_validate(read_json(comparison)).groups:
        figures = {"ROC AUC": (group.auc.value, group.auc_sd)}
        for name, key in (("accuracy at 0.5", "test_accuracy"), ("validation AUC", "valid_auc")):
            if (mean := group.means.get(key)) is not None:
                figures[name] = (mean.mean, mean.sd)
        said.append(f"{len(group.runs)} seeds, each alone, mean ± standard deviation:")
        said += [
            f"  {name:17}{value:.3f} ± {sd:.3f}"
            for name, (value, sd) in figures.items()
            if value is not None and sd is not None
        ]
    return said


def _predicted(place: _Place) -> list[Path]:
    return [place.predictions.with_suffix(".csv"), place.predictions]


def _hashes(*listed: Path | None) -> dict[str, str]:
    """Return the hashes of files that settings name, by their place among them."""
    return {
        f"file_{n}": hash_file(p) for n, p in enumerate(listed) if p is not None and p.is_file()
    }


def _encoder(model: ModelConfig) -> dict[str, str]:
    """Return the hashes of an encoder's files where a folder of them is named."""
    folder = model.encoder_folder or Path(model.encoder or "")
    if model.encoder is None or not folder.is_dir():
        return {}
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json")]
    return {f"encoder {path.name}": hash_file(path) for path in sorted(files)}


def _calibration(run: Path) -> dict[str, str]:
    path = run / CALIBRATION_FILE
    return {"calibration": hash_file(path)} if path.is_file() else {}
