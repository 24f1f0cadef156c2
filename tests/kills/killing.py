"""Commands that kill themselves, as if by `kill -9`, at a chosen point of their work.

A point is a number of Python calls from the start, so that it lies anywhere: between two writes, in
the middle of one, or while something is computed. The command runs in a fork of this process, which
has loaded what is heavy already.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from segtune.cli.main import main

KILLED = -signal.SIGKILL


class Counter:
    """Counts the calls of this process, and kills it at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.calls, self.last = 0, last

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        self.calls += 1
        if self.calls == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def calls_of(words: Sequence[str], folder: Path) -> int:
    """Returns how many calls an uninterrupted command makes in a folder; it must succeed."""
    read, write = os.pipe()

    def counted() -> int:
        counter = Counter()
        sys.setprofile(counter)
        status = main(words)
        sys.setprofile(None)
        os.write(write, str(counter.calls).encode())
        return status

    status = in_fork(counted, folder)
    os.close(write)
    with os.fdopen(read) as stream:
        calls = int(stream.read() or 0)
    assert status == 0, (folder / "output.txt").read_text()
    return calls


def run_until(last: int | None, words: Sequence[str], folder: Path) -> int:
    """Runs a command, to the end where `last` is None; returns its status, or `KILLED`."""

    def killed() -> int:
        sys.setprofile(Counter(last) if last is not None else None)
        return main(words)

    return in_fork(killed, folder)


class FullDisk:
    """Lets the nth file that is opened for writing below a folder fail as on a full disk."""

    def __init__(self, folder: Path, nth: int | None) -> None:
        self.folder, self.left, self.opened = str(folder), nth, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        place = str(Path(os.fsdecode(arguments[0])).absolute())
        is_written = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if not is_written or not place.startswith(self.folder) or place.endswith("output.txt"):
            return
        self.opened += 1
        if self.opened == self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))


def writes_of(words: Sequence[str], folder: Path) -> int:
    """Returns how many files an uninterrupted command opens for writing; it must succeed."""
    read, write = os.pipe()

    def counted() -> int:
        disk = FullDisk(folder, None)
        sys.addaudithook(disk)
        status = main(words)
        os.write(write, str(disk.opened).encode())
        return status

    status = in_fork(counted, folder)
    os.close(write)
    with os.fdopen(read) as stream:
        opened = int(stream.read() or 0)
    assert status == 0, (folder / "output.txt").read_text()
    return opened


def run_on_full_disk(nth: int, words: Sequence[str], folder: Path) -> int:
    """Runs a command whose nth file cannot be written; returns its status."""

    def failing() -> int:
        sys.addaudithook(FullDisk(folder, nth))
        return main(words)

    return in_fork(failing, folder)


def run_with_short_files(most: int, words: Sequence[str], folder: Path) -> int:
    """Runs a command that can write no more than some bytes into a file; returns its status."""
    import resource

    def failing() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        return main(words)

    return in_fork(failing, folder)


def in_fork(work: Callable[[], int], folder: Path) -> int:
    """Returns the status of work in a child process, in a folder; it prints into output.txt."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.chdir(folder)
            output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            status = work()
            sys.stderr.flush()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, state = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(state)
