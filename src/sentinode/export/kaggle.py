"""A Kaggle submission: two columns in the order of the sample."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from sentinode.core import atomic_path
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import Predictions

__all__ = ["submission"]


def submission(
    predictions: Predictions,
    sample: Path,
    out: Path,
    *,
    hard: bool = False,
    threshold: float = 0.5,
    put_aside: Collection[str] = (),
) -> int:
    """Write ``id,label`` for every id of ``sample_submission.csv``, in its order.

    Args:
        predictions: Of all these patches; others are left out.
        sample: The competition's ``sample_submission.csv``.
        out: CSV to write.
        hard: Write labels 0 and 1 in place of probabilities. The score is the ROC AUC, which
            labels lower.
        threshold: With ``hard``, the least probability that is called tumour.
        put_aside: Ids of patches that cannot be predicted, such as damaged images. They get the
            mean probability of the sample's others, 0.5 where there are none.

    Returns:
        Number of rows.

    Raises:
        MissingInputError: There is no sample.
        InputError: The sample has no column id, or ids that have no prediction.
    """
    ids = _sample_ids(sample)
    probability = predictions.frame.set_index("id")["probability"].reindex(ids)
    mean = 0.5 if probability.isna().all() else float(probability.mean())
    probability = probability.mask(probability.isna() & probability.index.isin(put_aside), mean)
    missing = ids[probability.isna().to_numpy(bool)]
    if len(missing):
        raise InputError(
            f"{len(missing):,} of the {len(ids):,} ids of {sample.name} have no prediction, "
            f"{missing.iloc[0]!r} for one; predict the whole test folder first (for images that "
            "packing put aside, sentinode run writes the mean)"
        )
    label = (probability >= threshold).astype("int8") if hard else probability
    with atomic_path(out) as temporary:
        pd.DataFrame({"id": ids.to_numpy(), "label": label.to_numpy()}).to_csv(
            temporary, index=False, lineterminator="\n"
        )
    return len(ids)


def _sample_ids(sample: Path) -> pd.Series[str]:
    if not sample.is_file():
        raise MissingInputError(f"no sample submission at {sample}")
    try:
        frame = pd.read_csv(sample, dtype="string", encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{sample}: expected CSV with a header, {error}") from error
    if "id" not in frame:
        raise InputError(
            f"{sample}: expected the columns id,label, got {', '.join(map(str, frame.columns))}"
        )
    ids = frame["id"]
    if ids.isna().any() or ids.duplicated().any() or not len(ids):
        raise InputError(f"{sample}: every row needs an id of its own")
    return ids
