"""Batches one step ahead of the learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

B = TypeVar("B")


def batches_of(
    batch_at: Callable[[int], B], start: int, end: int, *, ahead: bool = True
) -> Iterator[B]:
    """Yields the batches of the steps from `start` to, not including, `end`.

    Args:
        batch_at: from a step, 0-based, to its batch; a pure function, which draws nothing from
            torch's global generator.
        ahead: make the next batch in a thread while the last one is learned from. Errors of the
            thread are raised where its batch is asked for.

    Example:
        >>> list(batches_of(lambda step: step * step, 2, 5))
        [4, 9, 16]
    """
    if not ahead:
        yield from map(batch_at, range(start, end))
        return
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(batch_at, start) if start < end else None
        for step in range(start, end):
            assert waiting is not None
            batch = waiting.result()
            waiting = executor.submit(batch_at, step + 1) if step + 1 < end else None
            yield batch
