"""Checks of safetensors files: the header against the length of the file, entry by entry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtune.errors import WeightsError

MAX_HEADER = 32 << 20
"""Bytes; a header takes about 100 for each tensor."""
MAX_DIMENSIONS = 64
ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
"""Bytes of one number, by the name of its type in the header."""


def read_header(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file, whose whole header was checked.

    The tensors must fill the rest of the file without gaps and without sharing bytes.

    Raises:
        WeightsError: damaged, truncated, or another kind of file; the message lacks the path.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if num_bytes < 8 or length > min(num_bytes - 8, MAX_HEADER):
            raise WeightsError("it is truncated or not a safetensors file")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise WeightsError("its header is damaged")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError("its header is damaged")
    position = 0
    for start, end in sorted(_span(name, entry) for name, entry in header.items()):
        if start != position:
            raise WeightsError("its tensors overlap or leave gaps")
        position = end
    if position != num_bytes - 8 - length:
        raise WeightsError(
            f"its tensors take {position} bytes, but {num_bytes - 8 - length} are there; copy or "
            "download it again"
        )
    return metadata


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name appears twice")
    return found


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Returns where the bytes of a tensor begin and end; they must fit its type and shape."""
    shown = ascii(name[:60])
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"the entry {shown} of its header is damaged")
    shape, span = entry["shape"], entry["data_offsets"]
    for counts in (shape, span):
        if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
            raise WeightsError(f"the entry {shown} of its header is damaged")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in ITEM_BYTES:
        raise WeightsError(f"{shown} has numbers of type {str(entry['dtype'])[:20]!a}")
    if len(span) != 2 or len(shape) > MAX_DIMENSIONS or max(shape, default=0) >= 1 << 62:
        raise WeightsError(f"the entry {shown} of its header is damaged")
    if span[1] - span[0] != math.prod(shape) * ITEM_BYTES[entry["dtype"]]:
        raise WeightsError(f"{shown} has another length than its type and shape say")
    return span[0], span[1]
