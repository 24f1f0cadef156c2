"""Pickles read as data, by a machine that imports nothing and calls nothing of what they name.

A pickle is a small program; Python's own reader runs it. Here its opcodes build plain values:
numbers, strings, lists, tuples, dictionaries. A name such as `torch._utils _rebuild_tensor_v2`
means what a table of the caller says it means, and any other name ends the reading.

The opcodes of protocol 2 are known, which `torch.save` and TorchScript write; `numpy_pickles` adds
those of its files. Memory and time
are bounded by the length of the pickle.
"""

from __future__ import annotations

import mmap
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segtune.errors import WeightsError

MAX_PICKLE = 8 << 20
"""Bytes; the largest real one, of an optimiser with thousands of tensors, has under 2 MiB."""
MAX_LINE = 1000
"""Bytes of a module's or a function's name."""
MAX_DEPTH = 200
"""Of marks that are open at once; real pickles open fewer than ten."""


@dataclass(frozen=True)
class Function:
    """What a name means that a pickle may apply to arguments."""

    call: Callable[..., Any]


@dataclass(frozen=True)
class ScriptClass:
    """A class of a TorchScript archive, by its name; its code is not read."""

    name: str


class Stored(ABC):
    """A value that a pickle completes with a state of its own."""

    @abstractmethod
    def build(self, state: Any) -> None:
        """Takes the state; raises `WeightsError` where it may not be."""


@dataclass
class ScriptObject(Stored):
    """An object of a TorchScript archive: what was stored of it, and no behaviour.

    Attributes:
        name: of its class.
        state: its attributes by name; anything else where the class packs itself by code.
    """

    name: str
    state: Any = None

    def build(self, state: Any) -> None:
        self.state = state


def damaged() -> WeightsError:
    """Returns the error for a pickle that no writer makes; the caller adds the file."""
    return WeightsError("its list of tensors is damaged")


class _Mark:
    """Stands on the stack where a tuple, list or dictionary begins."""


_MARK = _Mark()
_STOP = b"."[0]
Scalar = str | int | float | bool | bytes | None


@dataclass
class PickleReader:
    """Reads one pickle; see the module docstring.

    Attributes:
        data: of the file; the pickle may be followed by other bytes.
        meaning: of a name "module.attribute": a value, a `Function` or a `ScriptClass`; raises
            `WeightsError` for names that may not be there.
        stored: what a persistent id (a tuple) stands for.
        position: of the next byte; after `read`, the end of the pickle.
        limit: bytes of the pickle; None is 8 MiB.
        steps: what each opcode does; None takes those of protocol 2.
    """

    data: bytes | mmap.mmap
    meaning: Callable[[str], Any]
    stored: Callable[[Any], Any]
    position: int = 0
    limit: int | None = None
    steps: Mapping[int, Callable[[PickleReader], None]] | None = None
    _stack: list[Any] = field(default_factory=list)
    _memo: dict[int, Any] = field(default_factory=dict)
    _depth: int = 0

    def read(self) -> Any:
        """Returns the value of the pickle.

        Raises:
            WeightsError: it is damaged, too long, or names what may not be there.
        """
        limit, steps = self.limit or MAX_PICKLE, self.steps or STEPS
        end = self.position + limit
        try:
            while (code := self.byte()) != _STOP:
                if self.position > end:
                    raise WeightsError(f"its list of tensors is longer than {limit >> 20} MiB")
                steps[code](self)
            return self._stack.pop()
        except WeightsError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise damaged() from None

    # -- bytes ----------------------------------------------------------------------------

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise WeightsError("it ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + MAX_LINE)
        if end < 0:
            raise damaged()
        line = self.data[self.position : end].decode()
        self.position = end + 1
        return line

    # -- the stack ------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Takes the last value off the stack."""
        return self._stack.pop()

    def remember(self) -> None:
        """Memorises the last value under the next number."""
        self._memo[len(self._memo)] = self._stack[-1]

    def _mark(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WeightsError("its list of tensors is nested too deeply")
        self._stack.append(_MARK)

    def _since_mark(self) -> list[Any]:
        """Takes what was put on the stack since the last mark, and the mark."""
        start = len(self._stack) - 1
        while self._stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise damaged()
        items = self._stack[start + 1 :]
        del self._stack[start:]
        self._depth -= 1
        return items

    def _tuple(self, length: int) -> None:
        items = tuple(self._stack.pop() for _ in range(length))
        self._stack.append(items[::-1])

    def _global(self) -> None:
        self._stack.append(self.meaning(f"{self._line()}.{self._line()}"))

    def _apply(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise damaged()
        self._stack.append(function.call(*arguments))

    def _new_object(self) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if not isinstance(kind, ScriptClass) or arguments != ():
            raise damaged()
        self._stack.append(ScriptObject(kind.name))

    def _build(self) -> None:
        state = self._stack.pop()
        made = self._stack[-1]
        if isinstance(made, Stored):
            made.build(state)
        elif not isinstance(made, dict):  # an OrderedDict has `_metadata`, which nobody needs
            raise damaged()

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise damaged()
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise damaged()
        for key, value in zip(items[::2], items[1::2], strict=True):
            put(target, key, value)


def put(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Sets an entry under a plain key; others could take the interpreter down while hashed."""
    if not isinstance(key, Scalar):
        raise damaged()
    target[key] = value


def _push(value: Callable[[PickleReader], Any]) -> Callable[[PickleReader], None]:
    return lambda reader: reader._stack.append(value(reader))


def _memorise(layout: str) -> Callable[[PickleReader], None]:
    def step(reader: PickleReader) -> None:
        reader._memo[reader.number(layout)] = reader._stack[-1]

    return step


def _protocol(reader: PickleReader) -> None:
    if (version := reader.byte()) != 2:
        raise WeightsError(f"its pickle has protocol {version}, torch writes 2; save it again")


_CODES: dict[bytes, Callable[[PickleReader], Any]] = {
    b"\x80": _protocol,
    b"(": PickleReader._mark,
    b"c": PickleReader._global,
    b"R": PickleReader._apply,
    b"\x81": PickleReader._new_object,
    b"b": PickleReader._build,
    b"Q": lambda r: r._stack.append(r.stored(r._stack.pop())),
    b"N": _push(lambda r: None),
    b"\x88": _push(lambda r: True),
    b"\x89": _push(lambda r: False),
    b"K": _push(lambda r: r.number("<B")),
    b"M": _push(lambda r: r.number("<H")),
    b"J": _push(lambda r: r.number("<i")),
    b"G": _push(lambda r: r.number(">d")),
    b"\x8a": _push(lambda r: int.from_bytes(r.take(r.byte()), "little", signed=True)),
    b"X": _push(lambda r: r.take(r.number("<I")).decode("utf-8", "surrogatepass")),
    b"U": _push(lambda r: r.take(r.byte()).decode("latin-1")),
    b"T": _push(lambda r: r.take(r.number("<I")).decode("latin-1")),
    b")": _push(lambda r: ()),
    b"]": _push(lambda r: []),
    b"}": _push(lambda r: {}),
    b"t": _push(lambda r: tuple(r._since_mark())),
    b"\x85": lambda r: r._tuple(1),
    b"\x86": lambda r: r._tuple(2),
    b"\x87": lambda r: r._tuple(3),
    b"a": lambda r: r._append([r._stack.pop()]),
    b"e": lambda r: r._append(r._since_mark()),
    b"s": lambda r: r._set_items([r._stack.pop(), r._stack.pop()][::-1]),
    b"u": lambda r: r._set_items(r._since_mark()),
    b"q": _memorise("<B"),
    b"r": _memorise("<I"),
    b"h": _push(lambda r: r._memo[r.number("<B")]),
    b"j": _push(lambda r: r._memo[r.number("<I")]),
}
STEPS = {code[0]: step for code, step in _CODES.items()}
"""What each opcode does to a reader."""
