"""What a command may write: one rule, checked before its first slow step.

What exists and is not ours is never touched without `--force`, and what a command reads is not
touched even then. A file is ours where its beginning says so: a mark says how. Nothing is made
here, so that a refused command leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.errors import SegtuneError

Mark = Callable[[Path], bool]
"""Whether what exists at a path was written by the same command."""
ROOM = 16 * 2**20
"""Bytes that must be free for a command to begin."""
LOOKED_AT = 4096
"""Bytes at the beginning of a file among which a mark is looked for."""


@dataclass(frozen=True)
class Output:
    """A file that a command will write.

    Attributes:
        path: where.
        is_ours: whether what exists there may be replaced unasked.
        option: that names it, for messages.
    """

    path: Path
    is_ours: Mark = lambda path: False
    option: str = "--out"


def begins(*starts: bytes, within: bytes = b"") -> Mark:
    """Returns a mark: a file begins with one of `starts`, and has `within` near its beginning."""

    def is_ours(path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(LOOKED_AT)
        return head.startswith(starts) and within in head

    return is_ours


def check_outputs(
    outputs: Sequence[Output],
    *,
    force: bool,
    inputs: Iterable[Path | str | None] = (),
    room: int = ROOM,
) -> None:
    """Raises where a command could not, or must not, write its files.

    Args:
        outputs: all files that it will write.
        force: what is not ours may be replaced.
        inputs: files that it reads; what is no path of a file is left out of account.
        room: bytes that must be free.

    Raises:
        SegtuneError: a target is a folder, is given twice, is read by the same command, exists and
            is not ours, or cannot be written.
    """
    read = {os.path.realpath(path) for path in inputs if path is not None}
    seen: dict[str, Output] = {}
    for output in outputs:
        path = output.path
        _check_name(path)
        if path.is_dir():
            raise SegtuneError(f"{path} is a folder; give a file name such as {path / 'my.file'}")
        place = os.path.realpath(path)
        if place in read:
            raise SegtuneError(
                f"{path} is read by this command and would be overwritten; choose another "
                f"{output.option}"
            )
        if place in seen:
            raise SegtuneError(
                f"{path} would be written twice; choose another {seen[place].option}"
            )
        seen[place] = output
        if os.path.lexists(path) and not force and not output.is_ours(path):
            raise SegtuneError(
                f"{path} exists; add --force to replace it, or choose another {output.option}"
            )
        check_place(path.parent, option=output.option, room=room)


def check_folder(
    folder: Path,
    *,
    writes: Iterable[str],
    is_ours: Mark,
    force: bool,
    inputs: Iterable[Path] = (),
    room: int = ROOM,
) -> None:
    """Raises where a command could not, or must not, write into a folder.

    Args:
        folder: need not exist.
        writes: names of files below it that will be written.
        is_ours: whether the folder was written by the same command, and may be written again.
        force: what is not ours may be replaced.
        inputs: files that the command reads.
        room: bytes that must be free.

    Raises:
        SegtuneError: it is a file, cannot be written into, or holds something that would be lost.
    """
    if not folder.is_dir():
        _check_name(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise SegtuneError(f"{folder} is a file; --out needs the name of a folder")
    check_place(folder, option="--out", room=room)
    read = {os.path.realpath(path) for path in inputs}
    may_replace = force or is_ours(folder)
    for name in writes if folder.is_dir() else ():
        target = folder / name
        if os.path.realpath(target) in read:
            raise SegtuneError(
                f"{target} is read by this command and would be overwritten; choose another --out"
            )
        if not may_replace and os.path.lexists(target):
            raise SegtuneError(
                f"{target} exists and is not of such a run; add --force to replace it, or choose "
                "another --out"
            )


def check_place(folder: Path, *, option: str, room: int = ROOM) -> None:
    """Raises where nothing can be written into a folder, or there is no room on its disk."""
    there = folder
    while not there.exists() and there != there.parent:
        if os.path.lexists(there):
            raise SegtuneError(f"{there} is a link to nowhere; choose another {option}")
        there = there.parent
    if not there.is_dir():
        raise SegtuneError(f"{there} is a file, not a folder; choose another {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SegtuneError(f"cannot write into {there}; choose another {option}")
    free = shutil.disk_usage(there).free
    if free < room:
        raise SegtuneError(
            f"the disk of {there} has {free / 2**20:.0f} MB left and {room / 2**20:.0f} are "
            f"needed; make room, or choose another {option}"
        )


def _check_name(path: Path) -> None:
    """Raises where a path is no name: empty, or with signs that no file should be called by."""
    text = str(path)
    if not path.name or path.name == "..":
        raise SegtuneError(f"{text!r} is no name for an output; choose another")
    if not text.replace("\u200c", "").replace("\u200d", "").isprintable():
        raise SegtuneError(f"the name {text!r} has control characters; choose another")
    longest = max(len(os.fsencode(part)) for part in path.parts)
    if longest > 200 or len(text) > 3000:
        raise SegtuneError(f"the name {text[:40]!r}... is too long; choose a shorter one")
