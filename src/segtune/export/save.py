"""One result as one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segtune.errors import SegtuneError
from segtune.export.sinks import SINKS, Format
from segtune.types import Segmentation


def save(
    result: Segmentation,
    path: Path,
    *,
    format: str | None = None,
    image: np.ndarray | None = None,
) -> Path:
    """Writes a result and returns the path.

    Args:
        path: the file; its stem names the image.
        format: a name in `SINKS`; None goes by the ending: `.png` is an index map with 255 (or
            65535) where no class won, `.json` COCO annotations of the segments.
        image: (H, W, 3) uint8 RGB, for pictures.

    Raises:
        SegtuneError: an unknown format or ending, or the result lacks what the format holds.
    """
    entry = _by_ending(path) if format is None else SINKS.find(format)
    is_label_map = result.semantic is not None and not result.segments
    if is_label_map and "semantic" not in entry.tasks:
        raise SegtuneError(f"the result has no segments; segment with task={entry.tasks[0]!r}")
    if path.suffix != entry.ending:
        raise _cannot_save(path, [entry.ending])
    sink = entry.make()
    sink.open(path.parent if entry.is_per_image else path, result.vocabulary)
    try:
        sink.add(path.stem, image, result)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return path


def _by_ending(path: Path) -> Format:
    """Returns the format that takes an ending."""
    endings = {entry.ending: entry for entry in SINKS.values() if entry.is_for_ending}
    if path.suffix not in endings:
        raise _cannot_save(path, endings)
    return endings[path.suffix]


def _cannot_save(path: Path, endings: Iterable[str]) -> SegtuneError:
    given = path.suffix or repr(path.name)
    return SegtuneError(f"cannot save as {given}; use {' or '.join(endings)}")
