"""The configuration of a training: network, trainer and augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sentinode.config.section import LATER, SPEED, Device, Precision, Section, Seed, Threads

__all__ = ["AugmentConfig", "ModelConfig", "PretrainConfig", "TrainConfig"]


class ModelConfig(Section):
    """Which network."""

    name: str = Field(
        "baseline-colour",
        description="Name of the network; `sentinode model`. encoder takes a pretrained one.",
    )
    encoder: str | None = Field(
        None,
        description="Pretrained encoder for the name encoder: a short name of `sentinode "
        "encoders`, hf:OWNER/NAME, timm:NAME, monai:NAME or a folder.",
    )
    encoder_folder: Path | None = Field(
        None, description="Where its files lie, if not where the hub's client keeps them."
    )
    mode: Literal["frozen", "linear", "finetune"] = Field(
        "linear",
        description="Of an encoder: linear (a linear layer upon it, frozen), frozen (a hidden "
        "layer and dropout as well) or finetune (all of it learns).",
    )
    pooling: Literal["auto", "cls", "mean", "cls+mean"] = Field(
        "auto",
        description="Features of an encoder: class token, mean over the patch, or both; auto takes "
        "what is known of it or its configuration says, else the class token where it has one.",
    )
    input_size: int | None = Field(
        None, ge=16, le=1024, description="Side in px an encoder sees; none takes its own."
    )
    hidden: int = Field(256, ge=1, le=65_536, description="Units of the mode frozen.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Before an encoder's last layer.")
    keep_encoder: bool = Field(
        False, description="Store a frozen encoder's weights in the run too; mind their licence."
    )
    cache: bool = Field(
        True,
        description="Compute a frozen encoder's features once and keep them beside the set, where "
        "patches are not changed at random.",
    )


class PretrainConfig(Section):
    """How a network is pretrained on patches without their labels."""

    epochs: int = Field(5, ge=1, description="Number of epochs; the learning rate falls to zero.")
    batch_size: int = Field(
        256, ge=2, description="Patches among whose pictures the other one of each is to be found."
    )
    learning_rate: float = Field(4e-3, gt=0, description="Largest step size of the optimiser.")
    temperature: float = Field(
        0.2, gt=0, description="What likenesses are divided by; a lower one asks for sharper ones."
    )
    seed: Seed = Field(42, description="Seed of the weights, the order and every random change.")
    device: Device = "auto"
    precision: Precision = "auto"
    threads: Threads = 0


class TrainConfig(Section):
    """How the network is trained."""

    epochs: int = Field(30, ge=1, description="Largest number of epochs.")
    batch_size: int = Field(32, ge=1, description="Patches through the network at once.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adam", description="sgd has Nesterov's momentum, 0.9."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Largest step size of the optimiser.")
    beta2: float = Field(
        0.999, gt=0, lt=1, description="Memory of Adam's second moment; 0.99 adapts faster."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="Of weights, not of biases and norms; adamw applies it apart."
    )
    schedule: Literal["constant", "step", "plateau", "cosine", "one-cycle"] = Field(
        "constant",
        description="How the learning rate goes: constant; step (a tenth after every step_epochs); "
        "plateau (a tenth after step_epochs without a lower validation loss); cosine (to zero at "
        "the end); one-cycle (from a 25th up during the first 30 %, then by cosine to zero).",
    )
    step_epochs: int = Field(5, ge=1, description="For the schedules step and plateau.")
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs in which the learning rate first rises from zero."
    )
    loss: Literal["cross-entropy", "focal"] = Field("cross-entropy", description="What is lowered.")
    focal_gamma: float = Field(2.0, ge=0, description="How little easy patches count, for focal.")
    class_weights: Literal["equal", "balanced"] = Field(
        "equal", description="balanced lets both classes count the same, whatever their number."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of each label that is taken from it and dealt to both."
    )
    start: str = Field(
        "",
        description="Run, or name of shipped weights, of the same network, from whose weights "
        "training goes on, as to make it fit one's own slides, or what `sentinode pretrain` left; "
        "empty draws them.",
        json_schema_extra=SPEED,  # its weights count, wherever they lie
    )
    teachers: tuple[str, ...] = Field(
        (),
        description="Runs, or names of shipped weights, whose mean probability for a training "
        "patch is learnt beside its label.",
        json_schema_extra=SPEED,  # their weights count, wherever they lie
    )
    teacher_share: float = Field(
        0.5, ge=0, le=1, description="How much the teachers count; the label counts the rest."
    )
    teacher_turns: int = Field(
        1,
        ge=1,
        le=6,
        description="Angles, evenly within a right angle, under which each teacher sees a patch.",
        json_schema_extra=LATER,
    )
    teachers_see: Literal["shown", "plain"] = Field(
        "shown",
        description="What teachers are asked about: each patch just as it is shown, every time; or "
        "once, each time the training is started, the patch as it lies in the set.",
        json_schema_extra=LATER,
    )
    clip: float | None = Field(
        None, gt=0, description="Largest norm of a step's gradient; none leaves it."
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay a step of an exponential moving average of the weights, which is then "
        "what is validated and kept; 0 keeps the weights as they are.",
    )
    norm_patches: int = Field(
        0,
        ge=0,
        description="Training patches, unchanged, over which the statistics of batch normalisation "
        "are measured anew before each validation, 2 or more; 0 takes the moving ones.",
        json_schema_extra=LATER,
    )
    patience: int | None = Field(
        10, ge=1, description="Stop after this many epochs without a lower validation loss."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="best keeps the weights of the lowest validation loss."
    )
    seed: Seed = Field(42, description="Seed of the weights, the order and every random change.")
    device: Device = "auto"
    precision: Precision = "auto"
    threads: Threads = 0
    log: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        (),
        description="Where the history is told beside history.csv: tensorboard (into the run's "
        "folder tensorboard), mlflow.",
        json_schema_extra=SPEED,
    )
    mlflow_uri: str = Field(
        "",
        description="MLflow's server or database, as in http://host:5000 or sqlite:///file.db; "
        "empty takes MLFLOW_TRACKING_URI. A password belongs in MLFLOW_TRACKING_PASSWORD.",
        json_schema_extra=SPEED,
    )
    mlflow_experiment: str = Field(
        "sentinode", min_length=1, description="MLflow's experiment.", json_schema_extra=SPEED
    )

    @field_validator("mlflow_uri")
    @classmethod
    def _without_a_secret(cls, uri: str) -> str:
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise ValueError(
                "name and password do not belong here, where files would repeat them; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return uri

    @model_validator(mode="after")
    def _warmed_up_in_time(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs lies in 0..epochs, got {self.warmup_epochs} of {self.epochs}"
            )
        if self.teacher_turns > 1 and not self.teachers:
            raise ValueError(
                "teacher_turns says how teachers look, and none is named; give "
                "--set 'train.teachers=[\"RUN\"]'"
            )
        if self.teachers_see != "shown" and not self.teachers:
            raise ValueError(
                "teachers_see says what teachers are shown, and none is named; give "
                "--set 'train.teachers=[\"RUN\"]'"
            )
        if self.norm_patches == 1:
            raise ValueError("norm_patches is 0, or at least 2: one patch has no statistics")
        if self.schedule == "one-cycle" and self.warmup_epochs:
            raise ValueError("one-cycle has its own warm-up; leave warmup_epochs at 0")
        return self


class AugmentConfig(Section):
    """Random changes of training patches, drawn anew each time a patch is seen."""

    orientations: Literal["one", "flips", "all"] = Field(
        "one",
        description="one leaves patches as they lie; flips: left-right and up-down; all: the "
        "eight flips and rotations.",
    )
    shift: int = Field(
        0, ge=0, le=16, description="Largest move in px each way; the rim is mirrored."
    )
    turn: float = Field(
        0.0, ge=0, le=180, description="Largest turn in degrees each way; pixels are interpolated."
    )
    zoom: float = Field(0.0, ge=0, le=0.5, description="Largest relative change of size, each way.")
    stain: float = Field(
        0.0, ge=0, le=1, description="Largest relative change of each stain's concentration."
    )
    stain_offset: float = Field(
        0.0, ge=0, le=1, description="Largest amount of each stain added, in optical density."
    )
    stain_mix: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Largest share of the way that the colours of both stains go toward those of "
        "another patch of the batch.",
        json_schema_extra=LATER,
    )
    blur: float = Field(
        0.0,
        ge=0,
        le=4,
        description="Largest sigma in px of the Gaussian that half of the patches are blurred by.",
        json_schema_extra=LATER,
    )
    light: float = Field(
        0.0, ge=0, le=1, description="Largest relative change of the light in R, G and B."
    )
    mixup: float = Field(
        0.0, ge=0, description="Both parameters of the Beta by which pairs are mixed; 0 mixes none."
    )

    @property
    def changes_pixels(self) -> bool:
        """Whether any change but mixing is asked for."""
        return self.model_copy(update={"mixup": 0.0}) != AugmentConfig()
