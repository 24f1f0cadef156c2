"""Processes of this machine: order, equal results, and processes that are killed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from segtune.engine.runners.base import Step
from segtune.engine.runners.local import LocalRunner
from segtune.errors import SegtuneError
from tests.engine.runners.steps import Add, DiesAlways, DiesOnce

TWO = (Step("one", partial(Add, 1)), Step("ten", partial(Add, 10)))
KNOWN = [[item + 1, item + 10] for item in range(20)]


def test_this_process_builds_once_and_only_what_is_needed(tmp_path: Path) -> None:
    built = []

    def build() -> Add:
        built.append(1)
        return Add(1)

    results = LocalRunner().map(range(3), [Step("a", build)])
    assert built == []
    assert list(results) == [[1], [2], [3]]
    assert built == [1]
    assert list(LocalRunner().map([], [Step("a", build)])) == []


def test_the_order_is_that_of_the_items() -> None:
    assert list(LocalRunner(1).map(range(20), TWO)) == KNOWN


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = [Step("one", partial(Add, 1, log)), TWO[1]]
    assert list(LocalRunner(2).map(range(20), steps)) == KNOWN
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(int(item) for _, item, _ in lines) == list(range(20))
    assert str(os.getpid()) not in {pid for *_, pid in lines}


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    steps = [Step("dies", partial(DiesOnce, 5, tmp_path / "mark")), TWO[1]]
    assert list(LocalRunner(2).map(range(9), steps)) == [[-i, i + 10] for i in range(9)]


@pytest.mark.slow
def test_an_item_that_always_kills_is_said() -> None:
    with pytest.raises(SegtuneError, match=r"killed 3 times .* use fewer --workers"):
        list(LocalRunner(2).map(range(9), [Step("dies", DiesAlways)]))


def test_at_least_one() -> None:
    with pytest.raises(SegtuneError, match="workers=0"):
        LocalRunner(0)
