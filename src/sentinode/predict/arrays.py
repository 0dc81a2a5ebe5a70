"""Predictions of patches that are in memory and in no file, for who changes them on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import PredictConfig
from sentinode.predict.choosing import choose
from sentinode.predict.orientations import seen
from sentinode.predict.patches import made_by, rows_of_set
from sentinode.predict.runtimes import Runtime, runtime_of
from sentinode.tables import PackedSet
from sentinode.types import Fold, UInt8Array

if TYPE_CHECKING:
    from sentinode.models import Run

__all__ = ["Predictor"]


@final
class Predictor:
    """A network ready to compute, by PyTorch or from an export.

    Args:
        run: A run, its folder, or an export's folder.
        config: Runtime, precision, batch size, and whether the run's calibration is applied.

    Attributes:
        name: Of the network.
        weights_hash: SHA-256 of the run's weights.
        calibration: What :meth:`probabilities` puts upon the logits, None for nothing.
        made_by: What computes the logits, as JSON values: equal values, equal logits.

    Raises:
        MissingInputError: There is no such run.
        CheckpointError: The run's weights, its calibration or the export are damaged.
        InputError: The device or the export asked for is not there.
    """

    def __init__(self, run: Run | Path, config: PredictConfig) -> None:
        self._choice = choose(run, config)
        runtime: Runtime = runtime_of(self._choice.source, config, config.batch_size)
        self._runtime = seen(runtime, config)
        self._batch_size = config.batch_size
        self.calibration = self._choice.calibration if config.calibrated else None
        self.name, self.weights_hash = self._choice.name, self._choice.weights_hash
        self.made_by: dict[str, Any] = made_by(self._choice, self._runtime)

    def rows(
        self, packed: PackedSet, folds: Sequence[Fold] | None = None
    ) -> tuple[NDArray[np.int64], pd.Series[str]]:
        """Return which patches of a set are predicted, and the fold of every patch of the set.

        Arguments and errors as of `predict_set`.

        Returns:
            int64 (M,), rows of the set, and string (N,), null where a patch has no fold.
        """
        return rows_of_set(self._choice, packed, folds, None)

    def logits(self, images: Iterable[UInt8Array]) -> NDArray[np.float32]:
        """Return the network's logits of patches given in pieces of any length.

        Args:
            images: uint8 (N, H, W, 3) each, RGB, of the side that the network takes.

        Returns:
            float32, as many as there are patches, without calibration.

        Raises:
            InputError: A batch does not fit in memory.
        """
        found = [
            self._runtime.logits(piece[start : start + self._batch_size])
            for piece in images
            for start in range(0, len(piece), self._batch_size)
        ]
        return np.concatenate(found) if found else np.empty(0, np.float32)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of tumour for each logit, by the calibration where there is one.

        Args:
            logits: float32 (N,), of :meth:`logits`.
        """
        if self.calibration is not None:
            return self.calibration.apply(logits)
        z = logits.astype(np.float64)
        probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -z))
        return probabilities
