"""One result as one file, chosen by its ending."""

from __future__ import annotations

from pathlib import Path

from segtune.data.formats import coco_instances
from segtune.data.images import write_label_map
from segtune.errors import SegtuneError
from segtune.types import Segmentation
from segtune.viz.palette import class_colors


def save(result: Segmentation, path: Path) -> Path:
    """Writes a result and returns the path.

    Args:
        path: `.png` for an index map with 255 (or 65535) where no class won, `.json` for COCO
            annotations of the segments of this one image, named after the file.

    Raises:
        SegtuneError: another ending, or the result has no such part.
    """
    if path.suffix == ".png":
        if result.semantic is None:
            raise SegtuneError("an instance result has no label map; save it as .json")
        colors = [(r, g, b) for r, g, b in class_colors(result.vocabulary).tolist()]
        write_label_map(path, result.semantic, num_classes=len(result.vocabulary), colors=colors)
    elif path.suffix == ".json":
        if not result.segments:
            raise SegtuneError("the result has no segments; segment with task='instance'")
        coco_instances.write_annotations(path, [(path.stem, result)], vocabulary=result.vocabulary)
    else:
        raise SegtuneError(f"cannot save as {path.suffix or path.name!r}; use .png or .json")
    return path
