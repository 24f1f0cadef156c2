import threading
import time

import pytest

from segtune.train.ahead import batches_of


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(("start", "end"), [(0, 4), (3, 4), (2, 2), (5, 3)])
def test_every_step_once_and_in_order(start: int, end: int, ahead: bool) -> None:
    asked: list[int] = []

    def batch_at(step: int) -> int:
        asked.append(step)
        return 10 * step

    expected = list(range(start, end))
    assert list(batches_of(batch_at, start, end, ahead=ahead)) == [10 * step for step in expected]
    assert asked == expected


def test_the_next_batch_is_made_meanwhile() -> None:
    made = [threading.Event() for _ in range(3)]

    def batch_at(step: int) -> int:
        made[step].set()
        return step

    batches = batches_of(batch_at, 0, 3)
    assert next(batches) == 0
    assert made[1].wait(10)
    time.sleep(0.05)
    assert not made[2].is_set()  # one step ahead, not two
    assert list(batches) == [1, 2]


def test_without_a_thread_nothing_is_made_before_it_is_asked_for() -> None:
    asked: list[int] = []
    batches = batches_of(lambda step: asked.append(step), 0, 3, ahead=False)
    next(batches)
    assert asked == [0]
