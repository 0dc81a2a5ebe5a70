"""From what is known of a run to its card (Mitchell et al., 2019)."""

from __future__ import annotations

from pathlib import Path

from sentinode.card import model, results
from sentinode.card.blocks import Card, Section, Text
from sentinode.card.checklist import checklist
from sentinode.card.known import Known, gather
from sentinode.models import Run

__all__ = ["make_card"]

UNKNOWN = "Not evaluated: no report was given, so that nothing is said about how good it is."


def make_card(
    run: Run, *, report: Path | None = None, stress: Path | None = None, maps: Path | None = None
) -> Card:
    """Fill a model card from measured files; what none of them tells is a gap and said to be one.

    Args:
        run: The run.
        report: ``report.json`` of an evaluation of its predictions.
        stress: ``stress.json`` of a stress test.
        maps: ``map_scores.json`` of its explanation.

    Raises:
        MissingInputError: A file is not there.
        InputError: A file is damaged, or of other weights.
        CheckpointError: The run is damaged.
    """
    known = gather(run, report, stress, maps)
    found = known.report
    return Card(
        name=run.spec.name,
        standing=found.headline if found is not None else UNKNOWN,
        optimistic=found is None or found.optimistic is not None,
        sections=(
            model.details(known),
            *model.uses(),
            results.factors(known),
            results.metrics(known),
            results.evaluation(known),
            model.training(known),
            results.figures(known),
            results.calibration(known),
            results.stress(known),
            results.maps(known),
            *model.ethics(),
            _caveats(known),
            checklist(known),
            model.files(known),
        ),
    )


def _caveats(known: Known) -> Section:
    said = (
        "Intervals that resample patches are too narrow where several patches come from one "
        "slide. Figures on public sets say little about another hospital."
    )
    return Section("Caveats", (Text(said),))
