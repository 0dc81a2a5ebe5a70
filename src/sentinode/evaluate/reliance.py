"""When to rely on a call: rarer tumour, net benefit, abstention, and sets with a coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.stats import norm

from sentinode.evaluate.rows import counted
from sentinode.evaluate.scores import Scored, estimated
from sentinode.metrics import (
    BoolArray,
    ConformalRule,
    Draws,
    FloatArray,
    IntArray,
    RiskCoverage,
    certainty,
    conformal_rule,
    decision_curve,
    negative_predictive_value,
    precision_at,
    risk_coverage,
)
from sentinode.tables import (
    Abstention,
    Answered,
    Conformal,
    ConformalRow,
    Decision,
    Figure,
    OperatingPoint,
    PrevalenceRow,
)

__all__ = ["Reliance", "decision_of", "prevalence_rows"]

STEPS = 99
CURVE_POINTS = 200
ANSWERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
NOT_CALLED = "no patch is called so"
TOO_FEW = "too few patches to promise it"


def prevalence_rows(
    prevalences: Sequence[float], at: Mapping[str, OperatingPoint], draws: Draws, rows: Scored
) -> tuple[PrevalenceRow, ...]:
    """Return what calls would mean at each prevalence and threshold."""
    table = []
    for prevalence in prevalences:
        for name, point in at.items():
            drawn = draws.at[name]["sensitivity"], draws.at[name]["specificity"]
            shares = point.confusion.shares
            hits, right = shares["hits"], shares["rightly_normal"]
            here = [np.array(np.nan if v is None else v) for v in (hits, right)]
            figures = [
                estimated(float(of(prevalence, *here)), of(prevalence, *drawn), rows, NOT_CALLED)
                for of in (precision_at, negative_predictive_value)
            ]
            table.append(
                PrevalenceRow(
                    prevalence=prevalence,
                    at=name,
                    precision=figures[0],
                    negative_predictive_value=figures[1],
                    false_alarms=None if right is None else 1000 * (1 - prevalence) * (1 - right),
                    misses=None if hits is None else 1000 * prevalence * (1 - hits),
                )
            )
    return tuple(table)


def decision_of(rows: Scored) -> Decision | None:
    """Return net benefit over thresholds of 1 % to 99 %, None with one class only."""
    if rows.labels.all() or not rows.labels.any():
        return None
    thresholds = np.arange(1, STEPS + 1) / (STEPS + 1)
    curve = decision_curve(rows.labels, rows.probabilities, rows.units, thresholds)
    reach = float(norm.ppf((1 + rows.confidence) / 2)) * curve.error
    known = bool(np.isfinite(reach).all())
    return Decision(
        threshold=_rounded(thresholds),
        model=_rounded(curve.model),
        low=_rounded(curve.model - reach) if known else (),
        high=_rounded(curve.model + reach) if known else (),
        everything=_rounded(curve.everything),
    )


def _rounded(values: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


@final
@dataclass(frozen=True)
class Reliance:
    """Abstention and conformal sets of the reported rows, before and after the resampling.

    Both need sums in every resample; :attr:`terms` are these, and :meth:`abstention` and
    :meth:`conformal` take what the resamples gave.

    Attributes:
        rows: The reported rows.
        threshold: The chosen one.
        curve: Risk over coverage.
        rules: Stated coverage and whether by class -> rule, None where it cannot be fitted.
        checked: bool (N,): rows that the sets are checked on.
        said: What they are fitted and checked on, in a sentence.
        fitted: Normal and tumour patches that they are fitted on.
    """

    rows: Scored
    threshold: float
    curve: RiskCoverage
    rules: dict[tuple[float, bool], ConformalRule | None]
    checked: BoolArray
    said: str
    fitted: tuple[int, int]

    @classmethod
    def of(
        cls,
        rows: Scored,
        threshold: float,
        valid: tuple[BoolArray, FloatArray],
        coverages: Sequence[float],
        seed: int,
    ) -> Reliance:
        """Fit what has to be fitted.

        Args:
            rows: The reported rows.
            threshold: The chosen one.
            valid: Labels and probabilities of the validation rows, (M,) each; none of them is
                reported.
            coverages: What the sets are fitted for.
            seed: Of the halves where there is no validation row.
        """
        y, p = valid
        checked = np.ones(len(rows.labels), np.bool_)
        said = (
            f"Fitted on {counted(len(y), 'validation patch')}, checked on the "
            f"{counted(len(checked), 'reported patch')}."
        )
        if not len(y):
            checked = _half(rows.units, seed)
            y, p = rows.labels[~checked], rows.probabilities[~checked]
            each = "slides" if rows.unit == "slides" else "patches"
            said = (
                f"There are no validation patches: fitted on a random half of the {each} "
                f"reported ({counted(len(y), 'patch')}), checked on the other half "
                f"({counted(int(checked.sum()), 'patch')})."
            )
        rules = {
            (coverage, by_class): conformal_rule(y, p, coverage, by_class=by_class)
            if len(y) and checked.any()
            else None
            for by_class in (False, True)
            for coverage in coverages
        }
        curve = risk_coverage(rows.labels, rows.probabilities, threshold)
        fitted = int((~y).sum()), int(y.sum())
        return cls(rows, threshold, curve, rules, checked, said, fitted)

    @property
    def terms(self) -> dict[str, BoolArray]:
        """What is summed in each resample, bool (N,) by name."""
        y = self.rows.labels
        terms: dict[str, BoolArray] = {
            "checked": self.checked,
            "checked tumour": self.checked & y,
            "checked normal": self.checked & ~y,
        }
        for place, coverage in enumerate(ANSWERED):
            answered, wrong = self._answered(coverage)
            terms |= {f"answered {place}": answered, f"wrong {place}": wrong}
        for (coverage, by_class), rule in self.rules.items():
            if rule is not None:
                held = self._held(rule)
                name = f"held {coverage} {by_class}"
                terms |= {name: held, f"{name} tumour": held & y, f"{name} normal": held & ~y}
        return terms

    def _answered(self, coverage: float) -> tuple[BoolArray, BoolArray]:
        """Return the patches that are answered at a coverage, and those of them called wrongly."""
        at = min(int(np.searchsorted(self.curve.coverage, coverage)), len(self.curve.coverage) - 1)
        y, p = self.rows.labels, self.rows.probabilities
        answered = certainty(p, self.threshold) >= self.curve.certainty[at]
        return answered, answered & ((p >= self.threshold) != y)

    def _held(self, rule: ConformalRule) -> BoolArray:
        tumour, normal = rule.sets(self.rows.probabilities)
        held: BoolArray = np.where(self.rows.labels, tumour, normal) & self.checked
        return held

    def abstention(self, draws: Draws) -> Abstention:
        """Return the curve, and some of its points in full."""
        keep = np.unique(np.linspace(0, len(self.curve.coverage) - 1, CURVE_POINTS).astype(int))
        return Abstention(
            coverage=_rounded(self.curve.coverage[keep]),
            risk=_rounded(self.curve.risk[keep]),
            area=self.curve.area,
            least_area=self.curve.least_area,
            answered=tuple(self._row(place, draws) for place in range(len(ANSWERED))),
        )

    def _row(self, place: int, draws: Draws) -> Answered:
        answered, wrong = self._answered(ANSWERED[place])
        y = self.rows.labels
        tumour, normal = int((answered & y).sum()), int((answered & ~y).sum())
        misses, alarms = int((wrong & y).sum()), int((wrong & ~y).sum())
        return Answered(
            coverage=float(answered.mean()),
            patches=int(answered.sum()),
            risk=self._share(wrong, answered, draws, f"wrong {place}", f"answered {place}"),
            misses=misses,
            false_alarms=alarms,
            sensitivity=1 - misses / tumour if tumour else None,
            specificity=1 - alarms / normal if normal else None,
        )

    def _share(self, part: BoolArray, whole: BoolArray, draws: Draws, name: str, of: str) -> Figure:
        count = int(whole.sum())
        total = draws.sums[of]
        drawn = np.divide(draws.sums[name], total, out=np.full(len(total), np.nan), where=total > 0)
        value = float(part.sum() / count) if count else float("nan")
        return estimated(value, drawn, self.rows, "there is no such patch")

    def conformal(self, draws: Draws) -> Conformal | None:
        """Return the sets checked, None where none could be fitted."""
        if not self.rules or not any(self.rules.values()):
            return None
        return Conformal(
            said=self.said,
            rows=tuple(self._sets(*key, rule, draws) for key, rule in self.rules.items()),
        )

    def _sets(
        self, stated: float, by_class: bool, rule: ConformalRule | None, draws: Draws
    ) -> ConformalRow:
        if rule is None:
            none = Figure(value=None, note=TOO_FEW)
            return ConformalRow(
                stated=stated,
                by_class=by_class,
                held=none,
                held_tumour=none,
                held_normal=none,
                one=None,
                both=None,
                neither=None,
                wrong_answers=None,
                note=TOO_FEW,
            )
        y, checked, held = self.rows.labels, self.checked, self._held(rule)
        tumour, normal = rule.sets(self.rows.probabilities)
        one = (tumour ^ normal) & checked
        name = f"held {stated} {by_class}"
        parts: dict[str, BoolArray] = {"": checked, " tumour": checked & y, " normal": checked & ~y}
        figures = [
            self._share(held & of, of, draws, f"{name}{part}", f"checked{part}")
            for part, of in parts.items()
        ]
        count = int(checked.sum())
        return ConformalRow(
            stated=stated,
            by_class=by_class,
            held=figures[0],
            held_tumour=figures[1],
            held_normal=figures[2],
            one=float(one.sum() / count),
            both=float((tumour & normal & checked).sum() / count),
            neither=float((~tumour & ~normal & checked).sum() / count),
            wrong_answers=float((one & ~held).sum() / one.sum()) if one.any() else None,
        )


def _half(units: IntArray, seed: int) -> BoolArray:
    """Return a random half of the units, as bool (N,) over their patches."""
    n_units = int(units.max()) + 1
    chosen = np.random.default_rng(seed).permutation(n_units) < n_units // 2
    half: BoolArray = chosen[units]
    return half
