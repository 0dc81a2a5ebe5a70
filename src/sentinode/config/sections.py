"""The configuration of every stage: names, defaults, ranges and what each key means.

Each key's ``description`` is the only text about it: ``sentinode init`` prints it as the comment
above the key. Keys that change how fast a result comes, and not the result, are marked with
``SPEED``; they are left out of the fingerprint by which a finished stage is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sentinode.config.extract import ExtractConfig
from sentinode.config.section import LATER, SPEED, Device, Fraction, Section, Seed
from sentinode.config.slide import SlideConfig
from sentinode.config.training import AugmentConfig, ModelConfig, PretrainConfig, TrainConfig

__all__ = [
    "AuditConfig",
    "Config",
    "EvaluateConfig",
    "ExportConfig",
    "ExtractConfig",
    "PackConfig",
    "PhantomConfig",
    "PredictConfig",
    "SplitConfig",
    "StressConfig",
    "TuneConfig",
]


class PackConfig(Section):
    """Reading a source into one packed set."""

    resize: int | None = Field(
        None, ge=8, le=4096, description="Side in px to resize every patch to; none keeps it."
    )
    workers: int = Field(
        0, ge=0, description="Processes that decode; 0 takes all cores.", json_schema_extra=SPEED
    )


AuditRule = Literal[
    "near-black",
    "near-white",
    "blank",
    "blurred",
    "two labels",
    "duplicate",
    "turned duplicate",
    "compressed duplicate",
]


class AuditConfig(Section):
    """Reasons to leave a patch out."""

    near_black_max: int = Field(
        10, ge=0, le=256, description="A patch is near-black when its largest value is below this."
    )
    near_white_min: int = Field(
        245, ge=-1, le=255, description="A patch is near-white when its least value is above this."
    )
    blank_tissue: float = Field(
        0.05, ge=0, le=1, description="A patch is blank when less than this share is stained."
    )
    blur_sharpness: float = Field(
        200.0,
        ge=0,
        description="A patch is blurred when the Laplacian of its luma varies less than this.",
    )
    leave_out: tuple[AuditRule, ...] = Field(
        ("near-black", "near-white", "two labels", "duplicate"),
        description="Rules that leave a patch out; the others only tell of it.",
    )
    exclude_ids: Path | None = Field(
        None, description="A text file of patch ids to leave out, one a line."
    )
    verdicts: Path | None = Field(
        None,
        description="A CSV with id,verdict, as the page of explain saves it; wrong label and "
        "unusable leave a patch out.",
    )


class SplitConfig(Section):
    """Which patches train, which choose, and which are reported."""

    by: Literal["auto", "official", "patient", "slide", "group", "random"] = Field(
        "auto",
        description="auto takes the source's own folds, else patients, slides or groups of copies; "
        "random must be asked for, and its figures are optimistic.",
    )
    seed: Seed = Field(42, description="Seed of the folds.")
    draw_seed: Seed | None = Field(
        None,
        description="Seed of limit and balance, the folds staying; none takes seed.",
        json_schema_extra=LATER,
    )
    valid_fraction: Fraction = Field(
        0.15, description="Share that chooses (early stopping, threshold)."
    )
    test_fraction: Fraction = Field(
        0.15, description="Share that is reported, where the source brings no fold for it."
    )
    folds: int | None = Field(
        None,
        ge=2,
        description="Cross-validation: deal all units into this many folds, one of them reported; "
        "test_fraction is then not used.",
    )
    fold: int = Field(1, ge=1, description="Which of the folds is reported, from 1.")
    leave_out: str | None = Field(
        None, description="Report this centre and train on the others (leave one centre out)."
    )
    limit: int | None = Field(
        None, ge=2, description="Train on at most this many patches, drawn with draw_seed."
    )
    balance: int | None = Field(
        None, ge=1, description="Train on at most this many patches of each class."
    )
    draw: Literal["train", "both"] = Field(
        "train",
        description="Where limit and balance draw: among the patches that train; or among both "
        "these and those that choose, which then are at most valid_fraction of the two "
        "together, and balance takes as many of each class.",
        json_schema_extra=LATER,
    )

    @property
    def seed_of_draw(self) -> int:
        """Seed with which training patches are drawn for ``limit`` and ``balance``."""
        return self.seed if self.draw_seed is None else self.draw_seed

    def drawn_again(self, later: int) -> SplitConfig:
        """Return the section with the same folds and the training patches of a later seed."""
        if not later:
            return self
        return self.model_copy(update={"draw_seed": self.seed_of_draw + later})


class PredictConfig(Section):
    """How predictions are made."""

    batch_size: int = Field(
        32,
        ge=1,
        description="Patches at once; 32 stay in a processor's caches, a GPU takes more.",
        json_schema_extra=SPEED,
    )
    device: Device = "auto"
    runtime: Literal["auto", "torch", "onnx", "openvino"] = Field(
        "auto",
        description="What computes the network: torch from the run itself, the others from its "
        "exports; auto takes the fastest that is there.",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="Precision of the network's arithmetic; auto takes int8 or bfloat16 where the "
        "run has an export in it that passed its check, else float32.",
    )
    d4: bool = Field(
        False, description="Mean logit of the eight orientations of each patch, at eightfold cost."
    )
    angles: int = Field(
        1,
        ge=1,
        le=6,
        description="Mean logit over this many angles of each patch, evenly within a right angle; "
        "2 are 0 and 45 degrees.",
        json_schema_extra=LATER,
    )
    shades: bool = Field(
        False,
        description="Mean logit over three shades of each view of a patch, as it is, paler and "
        "darker, at threefold cost.",
        json_schema_extra=LATER,
    )
    calibrated: bool = Field(
        True, description="Put the run's calibration, where it has one, upon the logits."
    )

    @property
    def torch_precision(self) -> Literal["float32", "bfloat16"]:
        """What PyTorch computes in: int8 is for exports, and auto is float32."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"


class ExportConfig(Section):
    """How a run is exported and checked."""

    calibration_patches: int = Field(
        300, ge=1, description="Training patches on which int8's ranges are measured."
    )
    check_patches: int = Field(
        4000, ge=2, description="Patches on which an export is checked, spread over the set."
    )
    auc_tolerance: float = Field(
        0.002, ge=0, description="An export that moves the ROC AUC by more is refused."
    )
    float32_tolerance: float = Field(
        1e-3,
        ge=0,
        description="A float32 export that moves a probability by more is refused, too.",
    )


class EvaluateConfig(Section):
    """How predictions are scored."""

    threshold: Literal["youden", "accuracy", "sensitivity", "cost", "half"] = Field(
        "youden",
        description="Rule that chooses the threshold on validation patches: youden (sensitivity "
        "plus specificity), accuracy, sensitivity (the highest threshold that reaches the target), "
        "cost (the least cost), or half (0.5, chosen on nothing).",
    )
    target_sensitivity: Fraction = Field(
        0.95, description="What the rule sensitivity must reach on validation patches."
    )
    miss_cost: float = Field(
        1.0, gt=0, description="Cost of a miss in false alarms, for the rule cost."
    )
    prevalences: tuple[Fraction, ...] = Field(
        (0.01, 0.05, 0.4), description="Shares of tumour for which precision is told."
    )
    coverages: tuple[Fraction, ...] = Field(
        (0.9, 0.95, 0.99), description="Coverages that conformal sets are fitted for."
    )
    stains: int = Field(
        4, ge=0, le=12, description="Stain clusters to report by, with --packed; 0 or 1 none."
    )
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples of an interval.")
    confidence: Fraction = Field(0.95, description="Coverage of an interval.")
    seed: Seed = Field(42, description="Seed of the resamples.")
    examples: int = Field(
        12, ge=0, le=100, description="Example patches of each kind in the report."
    )


class StressConfig(Section):
    """How a network is put under stress."""

    patches: int | None = Field(
        None, ge=20, description="Test at most this many patches, drawn with the seed; none all."
    )
    stains: int = Field(
        3, ge=2, le=12, description="Stain clusters of the set that its patches are moved toward."
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of an interval.")
    seed: Seed = Field(42, description="Seed of the patches drawn, the noise and the resamples.")


class PhantomConfig(Section):
    """The synthetic cohort."""

    slides: int = Field(12, ge=1, description="Number of slides.")
    patches: int = Field(1200, ge=1, description="Number of patches over all slides.")
    seed: Seed = Field(42, description="Seed of everything drawn.")
    whole_slides: int = Field(
        1, ge=0, description="How many slides are also written whole, as pyramidal TIFF."
    )
    workers: int = Field(
        0, ge=0, description="Processes that render; 0 takes all cores.", json_schema_extra=SPEED
    )


class TuneConfig(Section):
    """How keys of the configuration are chosen by trials."""

    objective: Literal["auc", "loss"] = Field(
        "auc", description="What is made best, always on validation patches."
    )
    pruner: Literal["median", "halving", "off"] = Field(
        "median",
        description="Ends a trial early: median, where it lies behind half of the trials at the "
        "same epoch; halving, by successive halving; off lets all go on.",
    )
    spared_epochs: int = Field(1, ge=0, description="First epochs after which no trial is ended.")
    random_trials: int = Field(
        10, ge=1, description="Trials drawn at random before the sampler learns from them."
    )
    seed: Seed = Field(42, description="Seed of what is tried; train.seed is that of each trial.")


class Config(Section):
    """The whole configuration, one section a stage."""

    pack: PackConfig = Field(PackConfig(), description="Reading a source into one packed set.")
    extract: ExtractConfig = Field(
        ExtractConfig(), description="Cutting patches from annotated slides."
    )
    audit: AuditConfig = Field(AuditConfig(), description="Reasons to leave a patch out.")
    split: SplitConfig = Field(SplitConfig(), description="Which patches train, choose, report.")
    model: ModelConfig = Field(ModelConfig(), description="Which network.")
    pretrain: PretrainConfig = Field(
        PretrainConfig(),
        description="How `sentinode pretrain` teaches it without labels; run and train do not.",
    )
    train: TrainConfig = Field(TrainConfig(), description="How the network is trained.")
    augment: AugmentConfig = Field(
        AugmentConfig(), description="Random changes of training patches; none unless asked for."
    )
    predict: PredictConfig = Field(PredictConfig(), description="How predictions are made.")
    export: ExportConfig = Field(ExportConfig(), description="How a run is exported, checked.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="How they are scored.")
    slide: SlideConfig = Field(SlideConfig(), description="From a slide to a map.")
    tune: TuneConfig = Field(TuneConfig(), description="How keys are chosen by trials.")
    stress: StressConfig = Field(StressConfig(), description="How a network is put under stress.")
    phantom: PhantomConfig = Field(PhantomConfig(), description="The synthetic cohort.")
