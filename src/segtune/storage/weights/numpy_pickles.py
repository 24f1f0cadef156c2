"""Checkpoints of NumPy arrays in a pickle, as detectron2 publishes them (`.pkl`), read as data.

The machine of `pickles` walks the file; what Python and NumPy would call is never called. Arrays
are made from their bytes once their shape and type are known to fit. Protocols 2 to 5.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtune.errors import WeightsError
from segtune.storage.weights.pickles import STEPS, Function, PickleReader, Stored, damaged

KINDS = "biufc"
"""NumPy's letters of the types that may be stored: truth values, numbers."""
MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


@dataclass
class _Kind(Stored):
    """A type in the making: `dtype("f4")`, then the order of its bytes."""

    letters: str
    order: str = "="

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise damaged()
        if any(part is not None for part in state[2:5]):
            raise WeightsError("it holds arrays of records, which segtune does not read")
        self.order = state[1]

    def dtype(self) -> np.dtype[Any]:
        order: Any = self.order
        try:
            found = np.dtype(self.letters).newbyteorder(order)
        except TypeError:
            raise damaged() from None
        if found.kind not in KINDS:
            raise WeightsError(f"it holds an array of {self.letters[:20]!a}, not of numbers")
        return found


@dataclass
class _Array(Stored):
    """An array in the making."""

    table: ArrayTable
    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise damaged()
        _, shape, kind, is_fortran, content = state
        self.value = self.table.array(content, kind, shape, "F" if is_fortran else "C")


@dataclass
class ArrayTable:
    """What the names in a pickle of arrays mean.

    Attributes:
        budget: bytes that its arrays may take together; what one file stores but once cannot fill
            the memory many times over.
    """

    budget: int

    def meaning(self, name: str) -> Any:
        """Returns what a name means; raises `WeightsError` for every one that is not an array's."""
        module, _, attribute = name.rpartition(".")
        if attribute == "_reconstruct" and module in MODULES:
            return Function(lambda *_: _Array(self))
        if attribute == "_frombuffer" and module in NUMERIC:
            return Function(lambda *parts: _Array(self, self.array(*parts)))
        if attribute == "scalar" and module in MODULES:
            return Function(lambda kind, content: self.array(content, kind, (), "C").item())
        if name == "numpy.dtype":
            return Function(_kind)
        if name == "numpy.ndarray":
            return None  # the class to reconstruct: there is no other
        if name == "_codecs.encode":
            return Function(self.encoded)
        if name in ("__builtin__.bytes", "builtins.bytes"):
            return Function(lambda: b"")  # how protocol 2 writes none
        if name == "collections.OrderedDict":
            return Function(lambda: {})
        raise WeightsError(
            f"it names {name[:80]!a}, which is no array; a pickle is a program, and this one was "
            "not run: ask for a .safetensors or .pth file"
        )

    def array(self, content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
        """Returns an array whose bytes, type and shape fit together."""
        if not isinstance(kind, _Kind) or not isinstance(shape, tuple) or order not in ("C", "F"):
            raise damaged()
        if not all(type(side) is int and side >= 0 for side in shape):
            raise damaged()
        if isinstance(content, str):  # Python 2 wrote bytes as text
            content = self.encoded(content, "latin1")
        if not isinstance(content, bytes):
            raise WeightsError("it holds Python objects, which are never loaded")
        dtype = kind.dtype()
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise WeightsError(f"an array of shape {shape} has {len(content)} bytes")
        self._spend(len(content))
        array = np.ndarray(shape, dtype, content, order=order)
        return np.array(array, dtype.newbyteorder("="), order="C")

    def encoded(self, text: Any, encoding: Any) -> bytes:
        """Returns the bytes that protocol 2 writes as text."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise damaged()
        self._spend(len(text))
        return text.encode("latin-1")

    def _spend(self, num_bytes: int) -> None:
        self.budget -= num_bytes
        if self.budget < 0:
            raise WeightsError("its arrays would take far more memory than the file has bytes")


def read_numpy_pickle(path: Path | str) -> dict[str, np.ndarray]:
    """Returns the arrays of a checkpoint by name; a "model" entry is unwrapped.

    Raises:
        FileNotFoundError: nothing is there.
        WeightsError: damaged, or it holds anything but arrays, numbers, texts and containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a .pkl file of arrays")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty; copy or download it again")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            table = ArrayTable(2 * len(data))  # as text, then as numbers
            reader = PickleReader(
                data, table.meaning, _nothing, limit=len(data), steps=_steps(table)
            )
            content = reader.read()
    except WeightsError as error:
        raise WeightsError(f"{path} is not a checkpoint of arrays: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not arrays by name")
    arrays = {key: item.value for key, item in content.items() if isinstance(item, _Array)}
    whole = {key: value for key, value in arrays.items() if value is not None}
    if not whole or len(whole) != len(arrays) or not all(isinstance(key, str) for key in whole):
        raise WeightsError(f"{path} holds no arrays by name")
    return whole


def _kind(letters: Any, *_: Any) -> _Kind:
    if not isinstance(letters, str):
        raise damaged()
    return _Kind(letters)


def _nothing(_: Any) -> Any:
    raise damaged()  # nothing is stored outside


def _protocol(reader: PickleReader) -> None:
    if (version := reader.byte()) not in (2, 3, 4, 5):
        raise WeightsError(f"its pickle has protocol {version}, expected 2 to 5")


def _push(take: Callable[[PickleReader], Any]) -> Callable[[PickleReader], None]:
    return lambda reader: reader.push(take(reader))


def _steps(table: ArrayTable) -> dict[int, Callable[[PickleReader], None]]:
    """Returns what the opcodes of protocols 2 to 5 do that such files use."""

    def stacked_name(reader: PickleReader) -> None:
        attribute, module = reader.pop(), reader.pop()
        if not isinstance(attribute, str) or not isinstance(module, str):
            raise damaged()
        reader.push(table.meaning(f"{module}.{attribute}"))

    return STEPS | {
        0x80: _protocol,
        0x95: lambda reader: reader.take(8) and None,  # the length of a frame
        0x94: PickleReader.remember,
        0x93: stacked_name,
        0x8C: _push(lambda reader: _text(reader, reader.byte())),
        0x8D: _push(lambda reader: _text(reader, reader.number("<Q"))),
        0x43: _push(lambda reader: reader.take(reader.byte())),  # bytes
        0x42: _push(lambda reader: reader.take(reader.number("<I"))),
        0x8E: _push(lambda reader: reader.take(reader.number("<Q"))),
        0x96: _push(lambda reader: reader.take(reader.number("<Q"))),
    }


def _text(reader: PickleReader, length: int) -> str:
    return reader.take(length).decode("utf-8", "surrogatepass")
