"""Zip archives whose listing is checked before anything in them is unpacked."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from segtune.errors import SegtuneError

SLACK = 256 << 20
"""Bytes that the entries of an archive may unpack to beyond the length of the file."""
CHUNK = 1 << 24


class Archive:
    """A zip archive, opened for reading; use it in a `with` block.

    Opening reads the listing alone. It is refused where entries would unpack to far more than the
    file's length, where a name appears twice (also in another case), or is not plain. Errors say
    the reason alone; whoever opened the archive adds its path.
    """

    def __init__(self, path: Path) -> None:
        self.num_bytes = path.stat().st_size
        try:
            self._zip = zipfile.ZipFile(path)
        except (*_ZIP_ERRORS, RuntimeError):
            raise SegtuneError("it is no whole zip archive; copy or download it again") from None
        self._infos = {info.filename: info for info in self._zip.infolist()}
        if reason := _suspicion(self._zip.infolist(), self.num_bytes):
            self._zip.close()
            raise SegtuneError(reason)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the entries."""
        return tuple(self._infos)

    def num_unpacked(self, name: str) -> int | None:
        """Returns how many bytes an entry unpacks to; None where there is no such entry."""
        info = self._infos.get(name)
        return None if info is None else info.file_size

    def read(self, name: str, *, limit: int) -> bytes:
        """Returns an entry of at most `limit` bytes."""
        num_bytes = self.num_unpacked(name)
        if num_bytes is None:
            raise SegtuneError(f"it has no {name[-80:]!a}")
        if num_bytes > limit:
            raise SegtuneError(
                f"its {name[-80:]!a} has {num_bytes} bytes, at most {limit} are read"
            )
        return self.block(name).numpy().tobytes()

    def block(self, name: str) -> Tensor:
        """Returns the bytes of an entry, (N,) uint8."""
        info = self._infos[name]
        block = torch.empty(info.file_size, dtype=torch.uint8)
        bytes_left = block.numpy().data
        try:
            with self._zip.open(info) as file:
                while len(bytes_left) and (chunk := file.read(min(len(bytes_left), CHUNK))):
                    bytes_left[: len(chunk)] = chunk
                    bytes_left = bytes_left[len(chunk) :]
        except (*_ZIP_ERRORS, RuntimeError):
            raise SegtuneError(f"its {name[-80:]!a} is damaged; copy it again") from None
        if len(bytes_left):
            raise SegtuneError(f"its {name[-80:]!a} ends too early; copy it again")
        return block


def _suspicion(infos: list[zipfile.ZipInfo], num_bytes: int) -> str | None:
    """Returns what is wrong with the listing of an archive of `num_bytes`; None where nothing."""
    total = sum(info.file_size for info in infos)
    if total > num_bytes + SLACK:
        return f"its {num_bytes >> 10} KiB would unpack to {total >> 20} MiB; nothing was unpacked"
    if len({info.orig_filename.lower() for info in infos}) < len(infos):
        return "two of its entries have one name"
    if any(info.orig_filename != info.filename for info in infos):
        return "the names of its entries are not plain"
    return None


_ZIP_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What Python's reader raises on damaged archives, besides `RuntimeError` for encrypted ones."""
