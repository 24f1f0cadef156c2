"""Writing files so that a crash or a full disk never leaves half a file under the final name."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segtune.errors import DataError


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
    temporary = path.with_name(f".{path.stem[:100]}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder, a file name is needed")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}; nothing was changed") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_dir() -> Path:
    """Returns where caches live: `SEGTUNE_CACHE`, else `~/.cache/segtune`."""
    return Path(os.environ.get("SEGTUNE_CACHE") or Path.home() / ".cache" / "segtune")
