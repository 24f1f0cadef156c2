"""Ray Data on this machine: order, equal results, and actors that are killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from segtune.engine.runners.base import Step
from segtune.engine.runners.on_ray import RayRunner
from segtune.errors import SegtuneError
from tests.engine.runners.steps import Add, DiesOnce


@pytest.fixture(autouse=True)
def ray_or_skip() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'segtune[ray]'")


@pytest.mark.slow
def test_order_and_an_actor_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = [
        Step("dies", partial(DiesOnce, 5, tmp_path / "mark"), resource="model"),
        Step("ten", partial(Add, 10, log)),
    ]
    assert list(RayRunner(2).map(range(9), steps)) == [[-i, i + 10] for i in range(9)]
    items = [int(line.split()[1]) for line in log.read_text().splitlines()]
    assert sorted(items) == list(range(9))


def test_an_address_where_nobody_is() -> None:
    with pytest.raises(SegtuneError, match=r"nothing answers at 127\.0\.0\.1:1 "):
        list(RayRunner(1, address="127.0.0.1:1").map([1], [Step("one", partial(Add, 1))]))


def test_at_least_one() -> None:
    with pytest.raises(SegtuneError, match="actors=0"):
        RayRunner(0)
