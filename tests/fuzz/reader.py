"""What a reader of files from strangers is, for those who damage them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        file: where the damaged file goes.
        contents: damaged contents.
        read: what a command does with the file.
    """

    file: Path
    contents: st.SearchStrategy[bytes]
    read: Callable[[Path], object]
