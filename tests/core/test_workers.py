import pytest

from builders.work import add, die
from sentinode.core import spread
from sentinode.errors import WorkerLostError


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(spread(add, 10, [1, 2, 3, 4], workers)) == [(1, 11), (2, 12), (3, 13), (4, 14)]


def test_a_killed_worker_is_said_in_plain_words() -> None:
    with pytest.raises(WorkerLostError, match=r"ended from outside.*give the same command again"):
        list(spread(die, 1, [1, 2, 3, 4, 5], 2))
