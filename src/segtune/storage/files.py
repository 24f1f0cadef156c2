"""Writing files so that a crash or a full disk never leaves half a file under the final name.

What is half written lies under a temporary name beside the final one, which says which process of
which machine writes it. A killed process leaves it there; the next that writes into the folder
removes it.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segtune.errors import DataError

_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{6}(\..*)?")
_swept: set[str] = set()
"""Folders in which this process has removed what killed ones left."""


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path`; success moves it to `path`, failure removes it.

    Missing folders are created. The temporary path has the suffix of `path`, for writers that
    choose the file format by it. An `OSError` inside the block becomes a one-line `DataError`;
    an existing `path` then keeps its old content.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "new", "notes.txt")
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("done")
        >>> target.read_text()
        'done'
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder, a file name is needed")
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}; nothing was changed") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Returns a fresh name in the folder of `path` and with its suffix, for what is half written.

    Example:
        >>> temporary_beside(Path("a/b.png")).match("a/.b.*-*-*.png")
        True
    """
    mark = f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    return path.with_name(f".{path.stem[:40]}.{mark}{path.suffix}")


def sweep(folder: Path) -> None:
    """Removes what killed processes of this machine left half written, once per folder."""
    place = os.path.realpath(folder)
    if place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found and found[1] == _machine() and not _is_alive(int(found[2])):
                with suppress(OSError):
                    Path(entry.path).unlink()


def _machine() -> str:
    """Returns 8 hex digits that tell machines apart which share a disk."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_alive(pid: int) -> bool:
    """Whether there is such a process; True where that cannot be found out."""
    if os.name != "posix":  # there, os.kill ends the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def cache_dir() -> Path:
    """Returns where caches live: `SEGTUNE_CACHE`, else `~/.cache/segtune`."""
    return Path(os.environ.get("SEGTUNE_CACHE") or Path.home() / ".cache" / "segtune")
