"""Results as `supervision.Detections`, for its annotators, trackers and exporters."""

from __future__ import annotations

from typing import Any

import numpy as np

from segtune.errors import SegtuneError
from segtune.ops.segments import segments_from_semantic
from segtune.types import Segmentation


def to_supervision(result: Segmentation) -> Any:
    """Returns detections with masks (N, H, W) bool, xyxy boxes, class ids, scores and class names.

    A plain semantic result gives one detection per stuff class and per connected thing.

    Raises:
        SegtuneError: the extra `viz` is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise SegtuneError(
            "supervision is not installed; type: pip install 'segtune[viz]'"
        ) from None
    segments = result.segments
    if not segments and result.semantic is not None:
        segments = segments_from_semantic(result.semantic, result.vocabulary)
    if not segments:
        return supervision.Detections.empty()
    names = np.array([result.vocabulary.names[s.class_id] for s in segments])
    return supervision.Detections(
        xyxy=np.array([s.box_px for s in segments], dtype=np.float32),
        mask=np.stack([s.full_mask(result.size) for s in segments]),
        confidence=np.array([s.score for s in segments], dtype=np.float32),
        class_id=np.array([s.class_id for s in segments]),
        data={"class_name": names},
    )
