"""Brush masks of Label Studio: run lengths of RGBA pixels, packed bit by bit.

The packing is that of `@thi.ng/rle-pack`: 32 bits say how many values there are, 5 bits how wide a
value is (less one), four times 4 bits how wide run lengths may be (less one). Then, again and
again: 1 bit whether a value repeats, 2 bits which of the four widths, the length less one, and the
value or the values. The mask is where the opacity, every fourth value, is above 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segtune.data.masks.shapes import ShapeError

WIDTHS = (3, 4, 8, 16)
"""Bits of run lengths in what is written, as Label Studio writes."""
VALUE_BITS = 8
CHANNELS = 4


def decoded(packed: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool mask of a brush.

    Raises:
        ShapeError: the bytes are cut off, or of another size.
    """
    try:
        content = bytes(packed)
    except (ValueError, TypeError):
        raise ShapeError("has a brush with numbers that are no bytes") from None
    bits = "".join(f"{byte:08b}" for byte in content)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        if place > len(bits):
            raise ShapeError("has a brush that is cut off")
        return int(bits[place - count : place], 2)

    total, value_bits = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    height, width = size
    if total != height * width * CHANNELS:
        pixels = total // CHANNELS
        raise ShapeError(f"has a brush of {pixels} pixels on an image of {width}x{height}")
    values = np.zeros(total, np.uint8)
    at = 0
    while at < total:
        repeats = read(1)
        until = at + 1 + read(widths[read(2)])
        if until > total:
            raise ShapeError("has a brush that is longer than its image")
        if repeats:
            values[at:until] = read(value_bits) > 0
        else:
            values[at:until] = [read(value_bits) > 0 for _ in range(at, until)]
        at = until
    return values.reshape(height, width, CHANNELS)[..., 3] > 0


def encoded(mask: np.ndarray) -> list[int]:
    """Returns the bytes of a (H, W) bool mask."""
    flat = mask.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.concatenate((starts, [flat.size]))) * CHANNELS
    parts = [f"{flat.size * CHANNELS:032b}", f"{VALUE_BITS - 1:05b}"]
    parts += [f"{width - 1:04b}" for width in WIDTHS]
    most = 1 << WIDTHS[-1]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = 255 if flat[start] else 0
        while length > 0:
            now = min(length, most)
            kind = next(i for i, width in enumerate(WIDTHS) if now <= 1 << width)
            parts.append(f"1{kind:02b}{now - 1:0{WIDTHS[kind]}b}{value:08b}")
            length -= now
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
