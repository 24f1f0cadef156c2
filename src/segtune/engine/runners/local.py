"""Processes of this machine. One that is killed is replaced, and its items are done again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from loky import ProcessPoolExecutor

from segtune.engine.runners.base import Step, Worker
from segtune.errors import SegtuneError

logger = logging.getLogger(__name__)

IN_FLIGHT = 4
"""Items per process that are begun before the first of them is asked for."""
MOST_DEATHS = 2
"""Times that processes may die while the same item is the first that is not done."""


class LocalRunner:
    """Does the work in several processes of this machine, or in this one.

    Args:
        workers: processes; 1 works in this one.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise SegtuneError(f"workers={workers}; expected 1 or more")
        self.workers = workers

    def map(self, items: Sequence[Any], steps: Sequence[Step]) -> Iterator[list[Any]]:
        """Yields what each step made of every item; see `Runner.map`."""
        if self.workers == 1 or len(items) == 1:
            workers = _Workers(steps)
            yield from map(workers, items)
            return
        place = deaths = 0
        while place < len(items):
            try:
                for result in self._with_processes(items[place:], steps):
                    yield result
                    place += 1
                    deaths = 0
            except BrokenProcessPool:
                deaths += 1
                logger.warning(
                    "a process was killed; the work goes on after %d of %d", place, len(items)
                )
                if deaths > MOST_DEATHS:
                    raise SegtuneError(
                        f"processes were killed {deaths} times at item {place} of {len(items)}, "
                        "perhaps for memory; use fewer --workers"
                    ) from None

    def _with_processes(self, items: Sequence[Any], steps: Sequence[Step]) -> Iterator[list[Any]]:
        # torch's threads do not survive a fork; spawned workers would run the caller's script again
        executor = ProcessPoolExecutor(self.workers, initializer=_start, initargs=(tuple(steps),))
        waiting: deque[Future[list[Any]]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(_work, item))
                if len(waiting) >= IN_FLIGHT * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(kill_workers=True)


class _Workers:
    """The workers of all steps; each is built when it is first needed."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self._built: dict[str, Worker] = {}

    def __call__(self, item: Any) -> list[Any]:
        results = []
        for step in self.steps:
            if step.name not in self._built:
                self._built[step.name] = step.build()
            results.append(self._built[step.name](item))
        return results


_workers: _Workers | None = None
"""The workers of a process; a process pool has no other place for them."""


def _start(steps: tuple[Step, ...]) -> None:
    global _workers
    torch.set_num_threads(1)  # the processes share the cores
    _workers = _Workers(steps)


def _work(item: Any) -> list[Any]:
    assert _workers is not None
    return _workers(item)
