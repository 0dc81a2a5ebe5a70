"""The main job: from a source to a report, stage by stage, kept where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sentinode.config import Config, resolved_toml
from sentinode.core import folder_lock, hash_file, write_text
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
        submission: The Kaggle submission, where the source has a sample of one.
        headline: The figures that matter most, a line each.
        stages: Wall time and memory of each stage, by name.
    """

    report: Path
    submission: Path | None
    headline: tuple[str, ...]
    stages: dict[str, StageRecord]


def run_pipeline(
    source: Path,
    out: Path,
    config: Config,
    say: Callable[[str], None] = print,
    *,
    force: bool = False,
) -> RunSummary:
    """Do all stages from a source's files to a report; a stage that is done is kept.

    Args:
        source: Kaggle's layout or class folders.
        out: Folder of everything that is written.
        config: Settings of all stages.
        say: Called with one line for each stage.
        force: Train anew where ``out`` holds a network trained otherwise, which is refused else.

    Raises:
        SentinodeError: The input cannot be used, or the machine has no room; what was finished
            is kept.
    """
    with folder_lock(out):
        write_text(out / "config.toml", resolved_toml(config))
        job = _Job(source, out, config, say, force)
        job.prepare()
        job.learn()
        return job.tell()


@final
class _Job:
    """The stages in order; each reads from disk what the one before left there."""

    def __init__(
        self, source: Path, out: Path, config: Config, say: Callable[[str], None], force: bool
    ) -> None:
        self.source, self.config, self.force = source, config, force
        self.set, self.run, self.report = out / "set", out / "run", out / "report"
        self.predictions, self.submission = out / "predictions.parquet", out / "submission.csv"
        self.ledger = Ledger(out, say)

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
            {"config": self.config.audit.fingerprint(), "set": hash_file(self.set / "meta.json")},
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

    def learn(self) -> None:
        """Split set -> network -> predictions."""
        from sentinode.train import train, weights_behind

        opened, split = PackedSet.open(self.set), Split.read(self.set / "split.json")
        config = self.config
        self.ledger.stage(
            "train",
            {
                "config": [
                    section.fingerprint()
                    for section in (config.model, config.train, config.augment)
                ],
                "set": opened.meta.content_hash,
                "split": split.hash,
                **weights_behind(config.train),
            },
            [self.run / name for name in ("run.json", "model.safetensors", "history.csv")],
            lambda: train(opened, split, config, self.run, force=self.force),
        )
        self.ledger.stage(
            "predict",
            {
                "config": config.predict.fingerprint(),
                "set": opened.meta.content_hash,
                "split": split.hash,
                "weights": hash_file(self.run / "model.safetensors"),
                **self._calibration(),
            },
            [self.predictions, self.predictions.with_suffix(".csv")],
            self._predict,
        )

    def tell(self) -> RunSummary:
        """Predictions -> report and submission."""
        from sentinode.evaluate import headline_lines
        from sentinode.export import submission

        made = hash_file(self.predictions)
        files = [self.report / "report.html", self.report / "report.json"]
        self.ledger.stage(
            "evaluate",
            {
                "config": self.config.evaluate.fingerprint(),
                "predictions": made,
                "run": hash_file(self.run / "run.json"),
            },
            files,
            self._evaluate,
        )
        sample = self.source / SAMPLE_SUBMISSION
        if sample.is_file():
            self.ledger.stage(
                "submission",
                {"predictions": made, "sample": hash_file(sample)},
                [self.submission],
                lambda: submission(Predictions.read(self.predictions), sample, self.submission),
            )
        return RunSummary(
            report=files[0],
            submission=self.submission if sample.is_file() else None,
            headline=tuple(headline_lines(Report.read(files[1]))),
            stages=self.ledger.records,
        )

    def _calibration(self) -> dict[str, str]:
        path = self.run / CALIBRATION_FILE
        return {"calibration": hash_file(path)} if path.is_file() else {}

    def _predict(self) -> None:
        from sentinode.models import Run
        from sentinode.predict import predict_set

        made = predict_set(Run.open(self.run), PackedSet.open(self.set), self.config)
        made.write(self.predictions.with_suffix(".csv"))
        made.write(self.predictions)

    def _evaluate(self) -> None:
        from sentinode.evaluate import evaluate, write_report

        packed = PackedSet.open(self.set)
        report = evaluate(
            Predictions.read(self.predictions),
            self.config.evaluate,
            packed=packed,
            split=Split.read(self.set / "split.json"),
            run_folder=self.run,
        )
        write_report(report, self.report, packed=packed)
