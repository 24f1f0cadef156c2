"""How far two label maps of one image agree: what an approximation costs."""

from __future__ import annotations

from segtune.errors import SegtuneError
from segtune.types import Segmentation


def labels_equal(a: Segmentation, b: Segmentation) -> float:
    """Returns the share of pixels with the same label, 0..1.

    Raises:
        SegtuneError: one of the two has no label map, or they are of different sizes.

    Example:
        >>> import numpy as np
        >>> from segtune.types import Vocabulary
        >>> words = Vocabulary.of("sky", "sea")
        >>> labels = np.array([[0, 0, 1, 1]], dtype=np.int32)
        >>> a = Segmentation((1, 4), words, semantic=labels)
        >>> labels_equal(a, Segmentation((1, 4), words, semantic=labels * 0))
        0.5
    """
    if a.semantic is None or b.semantic is None or a.size != b.size:
        raise SegtuneError("labels are compared between two label maps of the same image")
    return float((a.semantic == b.semantic).mean())
