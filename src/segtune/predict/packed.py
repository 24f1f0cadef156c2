"""Results as bytes, for those that are made in one process and written in another."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from segtune.errors import DataError
from segtune.types import Segment, Segmentation, Vocabulary

LEVEL = 1
"""Of compression: label maps shrink to a hundredth at any."""


def packed(result: Segmentation) -> bytes:
    """Returns all of a result but its vocabulary; `unpacked` gives an equal one.

    Example:
        >>> words = Vocabulary.of("sky", "sea")
        >>> result = Segmentation((1, 2), words, np.array([[0, 1]], np.int32))
        >>> unpacked(packed(result), words).semantic.tolist()
        [[0, 1]]
    """
    about = {
        "size": list(result.size),
        "has_labels": result.semantic is not None,
        "source": dict(result.source),
        "segments": [
            [s.class_id, s.score, list(s.box_px), [list(a) for a in s.alternatives]]
            for s in result.segments
        ],
    }
    head = json.dumps(about, default=_plain).encode()
    parts = [len(head).to_bytes(8, "little"), head]
    if result.semantic is not None:
        parts.append(np.ascontiguousarray(result.semantic, np.int32).tobytes())
    parts += [np.packbits(segment.mask).tobytes() for segment in result.segments]
    return zlib.compress(b"".join(parts), LEVEL)


def unpacked(content: bytes, vocabulary: Vocabulary) -> Segmentation:
    """Returns the result of `packed`, over the vocabulary that it was made with.

    Raises:
        DataError: the bytes are of something else.
    """
    try:
        whole = zlib.decompress(content)
        start = 8 + int.from_bytes(whole[:8], "little")
        about = json.loads(whole[8:start])
    except (zlib.error, ValueError) as error:
        raise DataError(f"a packed result is damaged: {error}; start again") from None
    height, width = about["size"]
    semantic = None
    if about["has_labels"]:
        end = start + 4 * height * width
        semantic = np.frombuffer(whole[start:end], np.int32).reshape(height, width).copy()
        start = end
    bits = np.frombuffer(whole, np.uint8)
    segments = []
    for class_id, score, box, alternatives in about["segments"]:
        x1, y1, x2, y2 = box
        count = (y2 - y1) * (x2 - x1)
        stop = start + -(-count // 8)
        mask = np.unpackbits(bits[start:stop], count=count).astype(bool)
        others = tuple((int(c), float(s)) for c, s in alternatives)
        segments.append(
            Segment(class_id, score, (x1, y1, x2, y2), mask.reshape(y2 - y1, x2 - x1), others)
        )
        start = stop
    return Segmentation((height, width), vocabulary, semantic, tuple(segments), about["source"])


def _plain(value: Any) -> Any:
    """Returns what JSON can hold of a value of NumPy."""
    return value.item() if isinstance(value, np.generic) else str(value)
