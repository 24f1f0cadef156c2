"""Checks of what `torch.save` wrote, before torch's own reader sees it.

Both layouts are read: the zip archive of today (`data.pkl` beside one entry per storage), and the
stream of torch before 1.6 (a few pickles, then the storages one after another). Their pickles are
walked as data, every tensor must lie inside its storage, every storage must be there in full.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from segtune.errors import WeightsError
from segtune.storage.weights.archives import Archive
from segtune.storage.weights.pickles import MAX_PICKLE, PickleReader, damaged
from segtune.storage.weights.tensor_table import TensorTable

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_PROTOCOL = 1001


def root_folder(archive: Archive) -> str:
    """Returns the folder inside the archive that all entries lie in.

    Raises:
        WeightsError: there are several, so that two readers could disagree about which counts.
    """
    roots = {name.split("/", 1)[0] for name in archive.names}
    if len(roots) != 1:
        raise WeightsError("it is a zip archive, but none of torch")
    return roots.pop()


def check_archive(archive: Archive, root: str) -> None:
    """Raises `WeightsError` where an archive of `torch.save` holds what may not be there."""
    table = TensorTable(archive.num_bytes)
    content = archive.read(f"{root}/data.pkl", limit=MAX_PICKLE)
    PickleReader(content, table.meaning, table.stored).read()
    order = f"{root}/byteorder"
    if order in archive.names and archive.read(order, limit=16) != b"little":
        raise WeightsError("it was written on a big-endian machine; save it again on another")
    for storage in table.storages.values():
        if archive.num_unpacked(f"{root}/data/{storage.key}") != storage.num_bytes:
            raise WeightsError(f"its storage {storage.key[:40]!a} is missing or of another length")


def check_stream(path: Path) -> None:
    """Raises `WeightsError` where a file in the layout of torch before 1.6 is not sound."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        table = TensorTable(len(data))
        position = 0
        values = []
        for _ in range(5):  # magic, protocol, system, content, keys of the storages
            reader = PickleReader(data, table.meaning, table.stored, position)
            values.append(reader.read())
            position = reader.position
        magic, protocol, system, _, keys = values
        if magic != STREAM_MAGIC or protocol != STREAM_PROTOCOL or not isinstance(system, dict):
            raise damaged()
        if system.get("little_endian") is not True:
            raise WeightsError("it was written on a big-endian machine; save it again on another")
        if not isinstance(keys, list) or sorted(keys) != sorted(table.storages):
            raise damaged()
        for key in keys:
            storage = table.storages[key]
            start = data[position : position + 8]
            position += 8 + storage.num_bytes
            if len(start) < 8 or position > len(data):
                raise WeightsError("it ends too early; copy or download it again")
            if struct.unpack("<q", start)[0] * storage.dtype.itemsize != storage.num_bytes:
                raise damaged()
