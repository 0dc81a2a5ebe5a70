"""From a network's logit to a probability that can be believed, as stored with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sentinode.core import Provenance, first_fault, read_json, write_json
from sentinode.errors import CheckpointError, InputError

__all__ = ["CALIBRATION_FILE", "Calibration", "CalibrationMethod"]

CALIBRATION_FILE = "calibration.json"
CalibrationMethod = Literal["temperature", "platt", "isotonic"]


class Calibration(BaseModel):
    """A map of logits that never turns the order of two patches round.

    Attributes:
        format: Version of the layout.
        method: ``temperature`` divides the logit; ``platt`` also moves it; ``isotonic`` is a
            stairway from logits to probabilities, straight between its knots.
        slope: What the logit is multiplied with; of temperature, one over it.
        intercept: What is added then; 0 for temperature.
        knots: Pairs of logit and probability, rising, for isotonic.
        weights_sha256: Weights it was fitted for.
        fitted_on: What it was fitted on, in a sentence.
        patches: How many.
        quantiles: Of their logits, evenly from the least to the largest; empty where not kept.
        before: Figures by name of the predictions as they came.
        after: The same, of calibrations fitted without the patches they are judged on.
        provenance: What made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    method: CalibrationMethod
    slope: float = Field(1.0, gt=0, allow_inf_nan=False)
    intercept: float = Field(0.0, allow_inf_nan=False)
    knots: tuple[tuple[float, float], ...] = ()
    weights_sha256: str
    fitted_on: str
    patches: int = Field(ge=1)
    quantiles: tuple[float, ...] = ()
    before: dict[str, float]
    after: dict[str, float]
    provenance: Provenance

    @model_validator(mode="after")
    def _rising(self) -> Self:
        at, p = np.array(self.knots or [(0.0, 0.5)]).T
        if (self.method == "isotonic") != bool(self.knots):
            raise ValueError("knots belong to isotonic, and isotonic needs them")
        if not ((np.diff(at) > 0).all() and (np.diff(p) >= 0).all()):
            raise ValueError("knots do not rise")
        if not (np.isfinite(at).all() and (p >= 0).all() and (p <= 1).all()):
            raise ValueError("knots are no pairs of a logit and a probability")
        return self

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of tumour for each logit, shape as given."""
        z = np.asarray(logits, np.float64)
        if self.method == "isotonic":
            at, p = np.array(self.knots).T
            calibrated: NDArray[np.float64] = np.interp(z, at, p)
        else:
            from scipy.special import expit  # slow to import, and every command reads tables

            calibrated = expit(self.slope * z + self.intercept)
        return calibrated

    def shift(self, logits: ArrayLike) -> float | None:
        """Return how far logits lie from those it was fitted on, None where these are not kept.

        Args:
            logits: Of other patches, shape (N,), N at least 1.

        Returns:
            The Kolmogorov-Smirnov distance of the two distributions, 0..1, as far as the kept
            quantiles tell.
        """
        if len(self.quantiles) < 2:
            return None
        z, kept = np.sort(np.asarray(logits, np.float64)), np.asarray(self.quantiles)
        at, share = np.unique(z), np.linspace(0, 1, len(kept))
        between, apart = np.interp(at, kept, share), []
        for side, step in (("left", 0), ("right", 1)):  # below a value, and up to it
            place = (np.searchsorted(kept, at, side) - step).clip(0, len(kept) - 1)  # type: ignore[call-overload]
            expected = np.where(kept[place] == at, share[place], between)
            apart.append(expected - np.searchsorted(z, at, side) / len(z))  # type: ignore[call-overload]
        return float(np.abs(apart).max())

    def summary(self) -> dict[str, float | int | str]:
        """Return what predictions say of the calibration that made their probabilities."""
        of: dict[str, float | int | str] = {
            "method": self.method,
            "fitted_on": self.fitted_on,
            "patches": self.patches,
        }
        if self.method == "isotonic":
            return of | {"knots": len(self.knots)}
        return of | {"slope": self.slope, "intercept": self.intercept}

    def curve(self) -> dict[str, Any]:
        """Return what alone shapes the probabilities, as JSON values: equal curves, equal maps."""
        return self.model_dump(mode="json", include={"method", "slope", "intercept", "knots"})

    def write(self, folder: Path) -> None:
        """Write ``calibration.json`` into a run folder, whole or not at all."""
        write_json(folder / CALIBRATION_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path, weights_sha256: str) -> Calibration | None:
        """Read a run's calibration; None where it has none.

        Raises:
            CheckpointError: It is damaged, of another version, or of other weights.
        """
        path = folder / CALIBRATION_FILE
        if not path.is_file():
            return None
        try:
            found = cls.model_validate(read_json(path))
        except ValidationError as error:
            raise CheckpointError(f"{path} is damaged: {first_fault(error)}") from error
        except InputError as error:
            raise CheckpointError(str(error)) from error
        if found.weights_sha256 != weights_sha256:
            raise CheckpointError(
                f"{path} was fitted for other weights ({found.weights_sha256[:12]}, the run has "
                f"{weights_sha256[:12]}); remove it and calibrate again"
            )
        return found
