"""One run per output: a lock that the system releases when its process ends, however it ends.

The lock is on an empty file beside the output, which is removed at the end; one that a crash left
there holds nobody up. Where the system has no such locks (Windows), there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segtune.errors import SegtuneError
from segtune.storage.files import sweep

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Keeps other runs from the output at `path`, a file or folder, inside the block.

    Folders that are created for the lock are removed after it where they are still empty.

    Raises:
        SegtuneError: another run has it.
        OSError: nothing can be written beside it.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp(), "new", "a.safetensors")
        >>> with locked(out), locked(out):
        ...     pass
        Traceback (most recent call last):
        segtune.errors.SegtuneError: another run is writing ...; wait for it, ...
        >>> out.parent.exists()
        False
    """
    path = Path(os.path.realpath(path))
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    try:
        with _held(path.with_name(f".{path.name[:40]}.lock"), path):
            yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _held(lock: Path, path: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    file = _taken(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)


def _taken(lock: Path, path: Path) -> int:
    """Returns the open file of a lock that is held.

    Who had it before may have removed its file after this one was opened: then a new one is made.
    """
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise SegtuneError(
                f"another run is writing {path}; wait for it, or choose another --out"
            ) from None
        except OSError:  # a disk without locks
            return file
        try:
            is_there = os.path.samestat(os.fstat(file), lock.stat())
        except FileNotFoundError:
            is_there = False
        if is_there:
            return file
        os.close(file)
