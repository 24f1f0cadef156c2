"""Work behind the caller: done in threads, finished in the order in which it was given."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

Finish = Callable[[], None]
"""The rest of a piece of work, for the thread of the caller: what depends on the order."""

THREADS = min(4, os.cpu_count() or 1)
WAITING = 2 * THREADS
"""Pieces of work that wait at most, so that memory does not grow with their number."""


class Behind:
    """Starts work in threads and finishes it in order, in the thread of the caller.

    An error of some work is raised where it would be finished; nothing that was given after it is
    finished then.

    Example:
        >>> done = []
        >>> work = Behind()
        >>> for number in range(9):
        ...     work.add([lambda n=number: lambda: done.append(n)])
        >>> work.finish()
        >>> done
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(self, *, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._threads, self._waiting = threads, waiting
        self._pieces: deque[list[Future[Finish]]] = deque()

    def add(self, parts: Sequence[Callable[[], Finish]], *, at_once: bool = False) -> None:
        """Starts a piece of work, and finishes what is ready, or what more has no room beside.

        Args:
            parts: run in threads; what they return is called in their order.
            at_once: finish all before it and then itself, here: for what is too large to wait.
        """
        if at_once:
            self.finish()
            for part in parts:
                part()()
            return
        while self._pieces and (len(self._pieces) >= self._waiting or self._is_ready()):
            self._finish_first()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "segtune-behind")
        self._pieces.append([self._pool.submit(part) for part in parts])

    def finish(self) -> None:
        """Finishes all work; to be called once more at the end, which ends the threads."""
        try:
            while self._pieces:
                self._finish_first()
        finally:
            self._pieces.clear()
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None

    def _is_ready(self) -> bool:
        return all(part.done() for part in self._pieces[0])

    def _finish_first(self) -> None:
        try:
            for part in self._pieces.popleft():
                part.result()()
        except BaseException:
            for piece in self._pieces:
                for waiting in piece:
                    waiting.cancel()
            self._pieces.clear()
            raise
