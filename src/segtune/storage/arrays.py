"""The only door for NumPy files: no pickles, and no array that the file cannot hold.

The header of a `.npy` file says how large the array is; it is compared with the bytes that are
there before memory is taken. A compressed `.npz` may not unpack to far more than its length.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from segtune.errors import DataError, SegtuneError

MAX_HEADER = 1 << 16
"""Bytes of the header of an array; that of an array of plain numbers has 118."""


def read_npy(path: Path | str, *, memory_map: bool = False) -> np.ndarray:
    """Returns the array of a `.npy` file.

    Args:
        memory_map: leave the numbers on the disk; the array is read-only.

    Raises:
        OSError: it cannot be opened.
        DataError: truncated, of Python objects, or no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    try:
        _check(head, path.stat().st_size)
        array: np.ndarray = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        return array
    except SegtuneError as error:
        raise DataError(f"{path} is not a whole .npy file: {error}") from None
    except (ValueError, EOFError, MemoryError):
        raise DataError(f"{path} is not a whole .npy file; copy it again") from None


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """Returns all arrays of a `.npz` file by name.

    Raises:
        OSError: it cannot be opened.
        DataError: truncated, of Python objects, unpacks to far more than its length, or no such
            file.
    """
    from segtune.storage.weights.archives import Archive

    path = Path(path)
    path.open("rb").close()
    arrays = {}
    try:
        with Archive(path) as archive:
            for entry in archive.names:
                content = archive.block(entry).numpy()
                _check(content[:MAX_HEADER].tobytes(), len(content))
                file = io.BytesIO(content.data)
                arrays[entry.removesuffix(".npy")] = np.load(file, allow_pickle=False)
    except SegtuneError as error:
        raise DataError(f"{path} is not a whole .npz file: {error}") from None
    except (ValueError, EOFError, MemoryError):
        raise DataError(f"{path} is not a whole .npz file; copy it again") from None
    return arrays


def _check(head: bytes, num_bytes: int) -> None:
    """Raises `DataError` where the header asks for another length than the file has."""
    file = io.BytesIO(head)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except Exception:  # numpy evaluates the header as a literal, which fails in many ways
        raise DataError("its header is damaged") from None
    if dtype.hasobject:
        raise DataError("it holds Python objects, which are never loaded")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise DataError("its header is damaged")
    expected = file.tell() + math.prod(shape) * dtype.itemsize
    if expected != num_bytes:
        raise DataError(f"its header asks for {expected} bytes, but {num_bytes} are there")
