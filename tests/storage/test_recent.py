"""What is kept, what goes, and who makes a value when several threads want it."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from segtune.storage.recent import Recent


def test_the_least_recently_used_goes():
    made: list[int] = []
    store: Recent[int, int] = Recent(2)

    def ask(key: int) -> int:
        return store.get(key, lambda: made.append(key) or -key)

    assert [ask(key) for key in (1, 2, 1, 3, 1, 2)] == [-1, -2, -1, -3, -1, -2]
    assert made == [1, 2, 3, 2]
    assert store.keys() == (1, 2)
    assert len(store) == 2


def test_values_may_be_none():
    made = []
    store: Recent[str, None] = Recent(1)
    for _ in range(2):
        assert store.get("a", lambda: made.append(0)) is None
    assert made == [0]


def test_after_a_failure_the_next_one_tries_again():
    store: Recent[str, int] = Recent(1)

    def fail() -> int:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.get("a", fail)
    assert store.get("a", lambda: 3) == 3


def test_one_thread_makes_what_many_want():
    store: Recent[str, int] = Recent(4)
    made, gate = [], threading.Barrier(8)

    def ask(_: int) -> int:
        gate.wait(timeout=30)
        return store.get("a", lambda: made.append(0) or 5)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [5] * 8
    assert made == [0]


def test_a_slow_value_holds_up_no_other_key():
    store: Recent[str, int] = Recent(4)
    begun, free = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert free.wait(timeout=30)
        return 1

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.get, "slow", slow)
        assert begun.wait(timeout=30)
        assert store.get("quick", lambda: 2) == 2
        free.set()
        assert waiting.result(timeout=30) == 1


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))])
def test_a_copy_starts_empty(twin):
    store: Recent[str, int] = Recent(3)
    store.get("a", lambda: 1)
    other = twin(store)
    assert (other.capacity, len(other), len(store)) == (3, 0, 1)
