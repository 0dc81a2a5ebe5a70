"""Batches that do not fit in memory, and what is done then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sentinode.config import TrainConfig
from sentinode.core import Progress
from sentinode.errors import TrainingError
from sentinode.models import out_of_memory
from sentinode.train.state import TrainState

__all__ = ["DoesNotFitError", "a_batch_that_fits", "take_smaller_batches"]


@contextmanager
def a_batch_that_fits(batch_size: int, done: int) -> Iterator[None]:
    """Tell memory that ran out from all other errors: it has a remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise DoesNotFitError(batch_size, done) from error


class DoesNotFitError(TrainingError):
    """A batch does not fit in memory, ``done`` patches into its epoch."""

    def __init__(self, batch_size: int, done: int) -> None:
        super().__init__(
            f"a batch of {batch_size} patches does not fit in memory; close other programs, or "
            "take a smaller network"
        )
        self.done = done


def take_smaller_batches(
    state: TrainState, settings: TrainConfig, error: DoesNotFitError, progress: Progress
) -> None:
    """Go back to what was stored last, to go on with half as many patches or fewer."""
    if state.batch_size == 1:
        raise error
    # As many patches a step: a divisor of what was asked for.
    whole = settings.batch_size
    smaller = next(n for n in range(state.batch_size // 2, 0, -1) if whole % n == 0)
    if not state.alone:  # the other processes are in the midst of it
        raise TrainingError(
            f"a batch of {state.batch_size} patches does not fit in memory; the same steps in "
            f"parts: --set train.batch_size={smaller} --set train.accumulate="
            f"{settings.accumulate * whole // smaller}, or take more processes"
        ) from error
    progress.say(
        f"a batch of {state.batch_size} patches does not fit in memory; going on with "
        f"{smaller} at once and as many patches a step"
    )
    state.resume()
    progress.advance(state.part.done - error.done)
    state.batch_size = smaller
