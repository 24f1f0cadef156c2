"""What runs steps on many items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from segtune.engine.graph import Resource

Worker = Callable[[Any], Any]


@dataclass(frozen=True)
class Step:
    """What is done to every item.

    Attributes:
        name: for messages.
        build: makes the worker, once per process; picklable.
        resource: what it needs.
    """

    name: str
    build: Callable[[], Worker]
    resource: Resource = "cpu"


class Runner(Protocol):
    """Does steps to items."""

    def map(self, items: Sequence[Any], steps: Sequence[Step]) -> Iterator[list[Any]]:
        """Yields, item by item in their order, what each step made of it.

        Every step is given the item, not what the step before it returned: what steps have to say
        to each other lies on disk. They are called one after the other for an item.

        Args:
            items: picklable.
            steps: at least one.
        """
        ...


class WorkerLostError(RuntimeError):
    """A process died more often than a bad moment explains."""
