"""Work in the background: one at a time, once for all who ask, and told when it fails."""

import threading
from concurrent.futures import TimeoutError as Late

import pytest

from core.errors import InputError
from pages._ui.jobs import Job, Jobs


def test_who_asks_while_it_runs_gets_the_same_and_it_runs_once() -> None:
    jobs: Jobs[int] = Jobs("a number", 4)
    go, calls = threading.Event(), []

    def work(job: Job[int]) -> int:
        calls.append(job)
        job.tell(0.5, "half")
        assert go.wait(30)
        job.tell(7, "all")
        return 5

    first = jobs.begin("a", work)
    assert jobs.begin("a", work) is first and jobs.ask("a", work) is first and jobs.find("a") is first
    assert first.running and first.result is None and first.problem("no") == ""
    go.set()
    assert first.made.result(30) == 5 and not first.running and first.result == 5
    assert (first.share, first.what) == (1.0, "all") and calls == [first]
    assert jobs.ask("a", work) is first  # what is done stays
    again = jobs.begin("a", work)
    assert again is not first and again.made.result(30) == 5
    jobs.forget("a")
    assert jobs.find("a") is None


def test_one_at_a_time() -> None:
    jobs: Jobs[int] = Jobs("a number", 4)
    go = threading.Event()
    first = jobs.begin("a", lambda _: int(go.wait(30)))
    second = jobs.begin("b", lambda _: 2)
    with pytest.raises(Late):
        second.made.result(0.2)
    assert second.what == "waiting"
    go.set()
    assert (first.made.result(30), second.made.result(30)) == (1, 2)


def test_one_that_fails_says_why_and_the_next_runs() -> None:
    jobs: Jobs[int] = Jobs("a number", 4)

    def fails(error: BaseException) -> int:
        raise error

    told = jobs.begin("a", lambda _: fails(InputError("Choose another.")))
    assert isinstance(told.made.exception(30), InputError)
    assert told.problem("It failed.") == "Choose another." and told.result is None
    untold = jobs.begin("a", lambda _: fails(KeyError("x")))
    assert isinstance(untold.made.exception(30), KeyError) and untold.problem("It failed.") == "It failed."
    assert jobs.ask("a", lambda _: 1) is untold  # not tried again until it is forgotten
    jobs.forget("a")
    assert jobs.ask("a", lambda _: 1).made.result(30) == 1


def test_the_oldest_are_let_go_of() -> None:
    jobs: Jobs[int] = Jobs("a number", 2)
    for number, key in enumerate("ab"):
        jobs.begin(key, lambda _, number=number: number).made.result(30)
    jobs.find("a")
    jobs.begin("c", lambda _: 2).made.result(30)
    assert jobs.find("b") is None and jobs.find("a") is not None and jobs.find("c") is not None
