"""Steps for runners that are tried; in a module, so that other processes find them."""

from __future__ import annotations

import os
import signal
from pathlib import Path


class Add:
    """Adds a number, and notes every call as a line of a file."""

    def __init__(self, number: int, log: Path | None = None) -> None:
        self.number, self.log = number, log

    def __call__(self, item: int) -> int:
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{self.number} {item} {os.getpid()}\n")
        return item + self.number


class DiesOnce:
    """Ends its process at one item, the first time that anybody is there."""

    def __init__(self, item: int, mark: Path) -> None:
        self.item, self.mark = item, mark

    def __call__(self, item: int) -> int:
        if item == self.item and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return -item


class DiesAlways:
    """Ends its process at one item."""

    def __call__(self, item: int) -> int:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item
