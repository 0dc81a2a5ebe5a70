import multiprocessing

import pytest

from builders.work import add, die
from sentinode.core import Workers, spread
from sentinode.errors import WorkerLostError


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(spread(add, 10, [1, 2, 3, 4], workers)) == [(1, 11), (2, 12), (3, 13), (4, 14)]


def test_a_killed_worker_is_said_in_plain_words() -> None:
    with pytest.raises(WorkerLostError, match=r"ended from outside.*give the same command again"):
        list(spread(die, 1, [1, 2, 3, 4, 5], 2))


def test_they_start_ahead_of_the_work() -> None:
    with Workers(add, 2) as hired:
        hired.start()
        hired.start()
        assert sorted(hired.spread(10, [1, 2, 3])) == [(1, 11), (2, 12), (3, 13)]


@pytest.mark.parametrize("tasks", [[], [5]])
def test_started_for_little_they_do_it_all_the_same(tasks: list[int]) -> None:
    with Workers(add, 3) as hired:
        hired.start()
        assert list(hired.spread(1, tasks)) == [(t, t + 1) for t in tasks]


def test_started_for_nothing_they_end() -> None:
    with Workers(add, 3) as hired:
        hired.start()
    assert not [p for p in multiprocessing.active_children() if p.is_alive()]


def test_one_that_cannot_start_is_said_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", full)
    with (
        Workers(add, 2) as hired,
        pytest.raises(WorkerLostError, match=r"no further worker .*temporarily.*fewer workers"),
    ):
        hired.start()
