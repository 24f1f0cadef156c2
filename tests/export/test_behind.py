"""Work in threads that is finished in order."""

import threading
import time
from collections.abc import Callable

import pytest

from segtune.export.behind import Behind, Finish


def part(number: int, done: list[int], *, seconds: float = 0.0) -> Callable[[], Finish]:
    def work() -> Finish:
        time.sleep(seconds)
        return lambda: done.append(number)

    return work


def test_what_takes_longer_is_still_finished_in_order() -> None:
    done: list[int] = []
    work = Behind(threads=3, waiting=4)
    for number in range(8):
        work.add(
            [part(2 * number, done, seconds=0.02 * (number % 3 == 0)), part(2 * number + 1, done)]
        )
    work.finish()
    assert done == list(range(16))


def test_no_more_waits_than_may() -> None:
    done: list[int] = []
    started: list[int] = []
    work = Behind(threads=2, waiting=3)

    def begin(number: int) -> Finish:
        started.append(number)
        return lambda: done.append(number)

    for number in range(20):
        work.add([lambda n=number: begin(n)])
        assert number - len(done) < 3
    work.finish()
    assert done == sorted(started) == list(range(20))


def test_the_rest_is_finished_in_the_thread_of_the_caller() -> None:
    threads: list[tuple[bool, bool]] = []
    here = threading.current_thread()

    def begin() -> Finish:
        there = threading.current_thread() is here
        return lambda: threads.append((there, threading.current_thread() is here))

    work = Behind()
    work.add([begin])
    work.finish()
    work.add([begin], at_once=True)
    assert threads == [(False, True), (True, True)]


def test_after_an_error_nothing_later_is_finished() -> None:
    done: list[int] = []

    def bad() -> Finish:
        raise OSError("full")

    work = Behind(threads=2, waiting=9)
    work.add([part(0, done, seconds=0.02)])
    work.add([bad])
    work.add([part(2, done)])
    with pytest.raises(OSError, match="full"):
        work.finish()
    assert done == [0]
    work.finish()
    assert done == [0]


def test_what_is_done_at_once_comes_after_what_waits() -> None:
    done: list[int] = []
    work = Behind()
    work.add([part(0, done, seconds=0.02)])
    work.add([part(1, done)], at_once=True)
    assert done == [0, 1]
