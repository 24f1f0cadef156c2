"""The objects of an image that a set of predicted masks is compared with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segtune.types import IGNORE, Instance


@dataclass(frozen=True)
class MaskTargets:
    """The objects of one image.

    Attributes:
        class_ids: (N,) int64 in 0..K-1.
        masks: (N, H, W), bool or 0..1, over the model input, at any size; one size per batch.
    """

    class_ids: Tensor
    masks: Tensor

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or self.class_ids.shape != self.masks.shape[:1]:
            raise ValueError(
                f"class_ids {tuple(self.class_ids.shape)} and masks {tuple(self.masks.shape)} do "
                "not belong together; expected (N,) and (N, H, W)"
            )

    def __len__(self) -> int:
        return len(self.class_ids)


def targets_from_semantic(labels: Tensor) -> list[MaskTargets]:
    """Returns one mask per class that occurs, for each image of the batch.

    Unlabelled pixels are outside of every mask, so they count as background of all of them.

    Args:
        labels: (B, H, W) int64, negative where unlabelled.

    Example:
        >>> targets = targets_from_semantic(torch.tensor([[[3, 3, -1, 0]]]))[0]
        >>> targets.class_ids.tolist(), targets.masks[1].tolist()
        ([0, 3], [[True, True, False, False]])
    """
    targets = []
    for image_labels in labels:
        ids = image_labels.unique()
        ids = ids[ids >= 0]
        targets.append(MaskTargets(ids.long(), image_labels == ids[:, None, None]))
    return targets


def select_classes(targets: MaskTargets, class_ids: Sequence[int]) -> MaskTargets:
    """Returns the objects of the given classes, whose ids become their places in `class_ids`.

    Example:
        >>> targets = MaskTargets(torch.tensor([5, 7]), torch.zeros(2, 1, 1, dtype=torch.bool))
        >>> select_classes(targets, [3, 7]).class_ids.tolist()
        [1]
    """
    wanted = torch.tensor(class_ids, dtype=torch.int64, device=targets.class_ids.device)
    same = targets.class_ids[:, None] == wanted
    keep = same.any(1)
    return MaskTargets(same[keep].int().argmax(1), targets.masks[keep])


def targets_from_instances(
    instances: Sequence[Sequence[Instance]],
    *,
    size: tuple[int, int],
    device: torch.device | str | None = None,
    merge_ids: Collection[int] = (),
    class_agnostic: bool = False,
) -> list[MaskTargets]:
    """Returns the annotated objects of each image; crowds, empty and unnamed objects are left out.

    Args:
        instances: per image, with masks over the model input.
        size: (H, W) of the masks, for images without objects.
        merge_ids: classes whose regions become one mask per image (stuff in panoptic training).
        class_agnostic: every object gets class 0, unnamed ones too, and nothing is merged.
    """
    return [_objects(objects, size, device, merge_ids, class_agnostic) for objects in instances]


def _objects(
    objects: Sequence[Instance],
    size: tuple[int, int],
    device: torch.device | str | None,
    merge_ids: Collection[int],
    class_agnostic: bool,
) -> MaskTargets:
    class_ids: list[int] = []
    masks: list[np.ndarray] = []
    merged: dict[int, int] = {}  # class id -> place of its mask
    for item in objects:
        class_id = 0 if class_agnostic else item.class_id
        if item.is_crowd or class_id == IGNORE or not item.mask.any():
            continue
        if class_id in merged:
            masks[merged[class_id]] = masks[merged[class_id]] | item.mask
            continue
        if class_id in merge_ids and not class_agnostic:
            merged[class_id] = len(masks)
        class_ids.append(class_id)
        masks.append(item.mask)
    stacked = np.stack(masks) if masks else np.zeros((0, *size), dtype=bool)
    return MaskTargets(
        torch.tensor(class_ids, dtype=torch.int64, device=device),
        torch.as_tensor(stacked, device=device),
    )
