"""Append logs of JSON lines that survive a kill at any moment.

A line counts once its newline is written. Whatever a killed process left after the last newline is
dropped when the log is read, and cut off before the next line is appended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def append_line(path: Path, entry: Any) -> None:
    """Appends one JSON line and hands it to the operating system; folders are created.

    Example:
        >>> import tempfile
        >>> log = Path(tempfile.mkdtemp(), "log.jsonl")
        >>> append_line(log, {"a": 1})
        >>> list(read_lines(log))
        ['{"a": 1}']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    repair_tail(path)
    with path.open("ab") as stream:
        stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def read_lines(path: Path) -> Iterator[str]:
    """Yields the whole lines of a log without their newline; nothing where there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line[:-1].decode()


def repair_tail(path: Path) -> None:
    """Cuts off what a killed process left after the last newline."""
    if not path.is_file():
        return
    with path.open("rb+") as stream:
        stream.seek(0, 2)
        end = stream.tell()
        place = end
        while place > 0:
            start = max(place - 65536, 0)
            stream.seek(start)
            newline = stream.read(place - start).rfind(b"\n")
            if newline >= 0:
                place = start + newline + 1
                break
            place = start
        if place < end:
            stream.truncate(place)
