"""Sets of labels that hold the true one as often as is stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import BoolArray, FloatArray, checked

__all__ = ["ConformalRule", "conformal_rule"]


@final
@dataclass(frozen=True)
class ConformalRule:
    """Which labels a set holds; a limit of 1 holds its label always.

    Attributes:
        tumour: ``tumour`` is in the set where the probability of tumour is at least
            ``1 - tumour``.
        normal: ``normal`` is in it where the probability of tumour is at most this.
    """

    tumour: float
    normal: float

    def sets(self, probabilities: ArrayLike) -> tuple[BoolArray, BoolArray]:
        """Return whether ``tumour``, and whether ``normal``, is in each set: bool (N,) twice."""
        p = np.asarray(probabilities, dtype=np.float64)
        return 1 - p <= self.tumour, p <= self.normal


def conformal_rule(
    labels: ArrayLike, probabilities: ArrayLike, coverage: float, *, by_class: bool
) -> ConformalRule | None:
    """Fit split conformal prediction on patches that neither taught the network nor are reported.

    A label is in the set where its score, one minus its probability, is no higher than the
    ``ceil((n + 1) * coverage)``-th of the n scores of the true labels (Vovk, Gammerman and
    Shafer, 2005; Lei et al., 2018); by class, each label is compared with the scores of its own
    class (Vovk, 2012), so that the coverage holds in each class and not only on the whole. It
    holds where the patches are exchangeable with those fitted on.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        coverage: In 0..1.
        by_class: Promise the coverage for each class.

    Returns:
        None where there are too few patches, of a class by class, to promise it.
    """
    y, p = checked(labels, probabilities)
    tumour, normal = 1 - p[y], p[~y]
    if not by_class:
        limit = _limit(np.concatenate([tumour, normal]), coverage)
        return None if limit is None else ConformalRule(limit, limit)
    limits = _limit(tumour, coverage), _limit(normal, coverage)
    if limits[0] is None or limits[1] is None:
        return None
    return ConformalRule(limits[0], limits[1])


def _limit(scores: FloatArray, coverage: float) -> float | None:
    # a product such as 20 * 0.95 that is whole but for rounding must not be rounded up
    rank = int(np.ceil(np.round((len(scores) + 1) * coverage, 9)))
    if rank > len(scores):
        return None
    return float(np.sort(scores)[rank - 1])
