"""A JSON object whose lists are longer than memory, written entry by entry, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from segtune.errors import DataError
from segtune.storage.files import atomic_write


class JsonLists:
    """A JSON object of growing lists; until it is closed, they lie in unnamed files beside it.

    The result is what `json.dump` writes of the same object.

    Attributes:
        counts: name of a list -> entries so far.

    Example:
        >>> import tempfile
        >>> lists = JsonLists(Path(tempfile.mkdtemp(), "a.json"), ("images", "annotations"))
        >>> lists.append("annotations", {"id": 1})
        >>> lists.close(categories=[]).read_text()
        '{"images": [], "annotations": [{"id": 1}], "categories": []}'
    """

    def __init__(self, path: Path | str, names: Sequence[str]) -> None:
        """Opens the lists.

        Args:
            path: of the JSON file; an existing one keeps its content until `close`.
            names: of the lists, in the order of the file.

        Raises:
            DataError: nothing can be written there.
        """
        self.path = Path(path)
        self.counts = dict.fromkeys(names, 0)
        self._open = ExitStack()
        with self._told():
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder, a file name is needed")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._parts = {name: self._temporary() for name in names}

    def append(self, name: str, entry: object) -> None:
        """Adds one entry to a list."""
        self.append_json(name, json.dumps(entry).encode())

    def append_json(self, name: str, text: bytes | memoryview) -> None:
        """Adds one entry that is JSON already."""
        with self._told():
            if self.counts[name]:
                self._parts[name].write(b", ")
            self._parts[name].write(text)
        self.counts[name] += 1

    def close(self, **rest: object) -> Path:
        """Writes the file and returns its path.

        Args:
            rest: further members, which follow the lists.
        """
        with self._open, atomic_write(self.path) as temporary, temporary.open("wb") as stream:
            for number, (name, part) in enumerate(self._parts.items()):
                stream.write(f"{', ' if number else '{'}{json.dumps(name)}: [".encode())
                part.seek(0)
                shutil.copyfileobj(part, stream)
                stream.write(b"]")
            for name, value in rest.items():
                stream.write(f", {json.dumps(name)}: {json.dumps(value)}".encode())
            stream.write(b"}")
        return self.path

    def abort(self) -> None:
        """Drops everything; the file stays what it was."""
        self._open.close()

    def _temporary(self) -> IO[bytes]:
        return self._open.enter_context(TemporaryFile(dir=self.path.parent))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Makes what the system says about a file one line that names it."""
        try:
            yield
        except OSError as error:
            self.abort()
            reason = error.strerror or str(error)
            raise DataError(f"cannot write {self.path}: {reason}; nothing was changed") from error
