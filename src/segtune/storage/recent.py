"""A bounded store in memory: the values that were used last, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the values of the `capacity` keys that were asked for last.

    Threads that ask for the same key at once wait for one of them to make its value; other keys
    are not held up. A copy starts empty.

    Example:
        >>> squares = Recent(2)
        >>> [squares.get(n, lambda n=n: n * n) for n in (3, 4, 3, 5)]
        [9, 16, 9, 25]
        >>> squares.keys()
        (3, 5)
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Returns the value of a key, made by `make` where it is not here (any more).

        What `make` raises is raised; the next one who asks tries again.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self.capacity:
                self._entries.popitem(last=False)
        with entry.lock:
            if not entry.values:
                entry.values.append(make())
        return entry.values[0]

    def keys(self) -> tuple[Key, ...]:
        """Returns the keys that are kept, the one asked for last at the end."""
        with self._lock:
            return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self) -> tuple[type[Recent[Key, Value]], tuple[int]]:
        return type(self), (self.capacity,)


class _Entry(Generic[Value]):
    """No value or one, and who may make it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: list[Value] = []
