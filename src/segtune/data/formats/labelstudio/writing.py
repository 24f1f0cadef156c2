"""Segments as predictions of Label Studio, which people correct there.

They are brush masks, which keep every pixel. The labelling interface must have
`<BrushLabels name="tag" toName="image">` and `<Image name="image" value="$image"/>`.
"""

from __future__ import annotations

from typing import Any

from segtune.data.formats.labelstudio.brush import encoded
from segtune.types import Segmentation

FROM_NAME, TO_NAME = "tag", "image"


def task_of(result: Segmentation, *, image_name: str) -> dict[str, Any]:
    """Returns the task of an image with its segments as one prediction.

    Args:
        result: of the image.
        image_name: its address for Label Studio, such as /data/local-files/?d=photos/a.jpg.
    """
    height, width = result.size
    regions = []
    for number, segment in enumerate(result.segments):
        if not segment.mask.any():
            continue
        label = result.vocabulary.names[segment.class_id]
        regions.append(
            {
                "id": f"segment{number}",
                "type": "brushlabels",
                "from_name": FROM_NAME,
                "to_name": TO_NAME,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": segment.score,
                "value": {
                    "format": "rle",
                    "rle": encoded(segment.full_mask(result.size)),
                    "brushlabels": [label],
                },
            }
        )
    prediction = {"model_version": "segtune", "result": regions}
    return {"data": {"image": image_name}, "predictions": [prediction]}
