"""Tables of things by name, whose code is imported when it is needed.

Systems, frozen models, evaluation tasks, outputs and annotation formats are each one table. An
entry is a small value with a `name`; where its code lives is a string such as
`"segtune.systems.rpn.model:PromptedClip"`. Other packages add entries through entry points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from segtune.errors import SegtuneError, unknown_name


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


def resolve(target: str) -> Any:
    """Returns the object at `"module:attribute"`, importing the module.

    Raises:
        SegtuneError: there is no such module or attribute.

    Example:
        >>> resolve("segtune.errors:SegtuneError").__name__
        'SegtuneError'
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not module.startswith(error.name or "?"):
            raise  # something that the module itself needs
        raise SegtuneError(f"{target} cannot be found; expected module:attribute") from error


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A table of entries by name, in the order in which they were given.

    Args:
        what: one entry is called this in messages, such as "system".
        entries: those of the project.
        group: entry points of other packages, each of which names an entry or a sequence of them;
            they are loaded when the table is first read, and follow those of the project.

    Raises:
        SegtuneError: two entries have one name.
    """

    def __init__(self, what: str, entries: Iterable[Entry] = (), *, group: str | None = None):
        self.what = what
        self._entries: dict[str, Entry] = {}
        self._group = group
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> Entry:
        """Adds an entry and returns it."""
        if entry.name in self._entries:
            raise SegtuneError(f"there is a {self.what} {entry.name} already; choose another name")
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Removes an entry that was added."""
        del self._entries[name]

    def find(self, name: str) -> Entry:
        """Returns the entry of a name that a user typed.

        Raises:
            SegtuneError: there is none; close names are offered.
        """
        self._load_others()
        if name not in self._entries:
            raise unknown_name(name, self._entries, what=self.what)
        return self._entries[name]

    def __getitem__(self, name: str) -> Entry:
        self._load_others()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._load_others()
        return iter(self._entries)

    def __len__(self) -> int:
        self._load_others()
        return len(self._entries)

    def _load_others(self) -> None:
        if self._group is None:
            return
        group, self._group = self._group, None
        for point in entry_points(group=group):
            for entry in _loaded(point):
                self.add(entry)


def _loaded(point: EntryPoint) -> Iterable[Any]:
    """Returns the entries that an entry point of another package names.

    Raises:
        SegtuneError: it cannot be imported.
    """
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise SegtuneError(
            f"the entry point {point.name} = {point.value} of another package cannot be loaded "
            f"({error}); repair or uninstall that package"
        ) from error
    return found if isinstance(found, list | tuple) else (found,)
