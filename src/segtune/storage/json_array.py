"""A JSON list that is longer than memory, written entry by entry, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryFile

from segtune.storage.files import atomic_write


class JsonArray:
    """A growing JSON list; until it is closed, it lies in an unnamed file beside it.

    Attributes:
        path: of the JSON file; an existing one keeps its content until `close`.
        count: entries so far.

    Example:
        >>> import tempfile
        >>> entries = JsonArray(Path(tempfile.mkdtemp(), "a.json"))
        >>> entries.append({"id": 1})
        >>> entries.close().read_text()
        '[{"id": 1}]'
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._body = TemporaryFile(dir=path.parent)  # noqa: SIM115

    def append(self, entry: object) -> None:
        """Adds one entry."""
        text = json.dumps(entry)
        self._body.write((f",\n{text}" if self.count else text).encode())
        self.count += 1

    def close(self) -> Path:
        """Writes the file and returns its path."""
        with self._body, atomic_write(self.path) as temporary, temporary.open("wb") as stream:
            stream.write(b"[")
            self._body.seek(0)
            shutil.copyfileobj(self._body, stream)
            stream.write(b"]")
        return self.path

    def abort(self) -> None:
        """Drops everything; the file stays what it was."""
        self._body.close()
