"""What two-stage systems learn from a few labelled images.

Every class of a label map gives one region per image. CLIP looks at it as it would at a proposal
and has to tell which of the words it shows: cross-entropy over 100 times the cosine (SimBaseline,
section 3.2 and the released code). OVSeg learns its mask prompts from regions paired with nouns
of captions instead (`segtune.trainers.pairs`); here the same prompts learn from exact masks and
names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.ops.fusion import SCALE
from segtune.systems.ovseg.regions import RegionReader


def class_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the class ids (N,) of a label map and their masks (N, H, W), 0 or 1.

    Args:
        labels: (H, W) int64, negative where unlabelled.

    Example:
        >>> ids, masks = class_masks(torch.tensor([[2, 2, -1, 0]]))
        >>> ids.tolist(), masks.int().tolist()
        ([0, 2], [[[0, 0, 0, 1]], [[1, 1, 0, 0]]])
    """
    ids = labels[labels >= 0].unique()
    return ids, (labels == ids[:, None, None]).float()


def region_loss(
    reader: RegionReader,
    pixels: Tensor,
    labels: Tensor,
    words: Tensor,
    prompts: Tensor | None,
) -> dict[str, Tensor]:
    """Returns {"loss_ce"}: the mean over all regions of a batch; zero where there are none.

    Args:
        reader: cuts regions and shows them to CLIP.
        pixels: (B, 3, H, W), 0..255.
        labels: (B, H, W) int64, negative where unlabelled.
        words: (K, k), unit length; gradients reach them.
        prompts: (D, N, d) for blank patches; gradients reach them.
    """
    seen, ids = [], []
    for image, label_map in zip(pixels, labels, strict=True):
        present, masks = class_masks(label_map)
        seen.append(reader.embed(image, masks, prompts))
        ids.append(present)
    embeds, class_ids = torch.cat(seen), torch.cat(ids)
    if not len(embeds):
        learned = [each for each in (words, prompts) if each is not None and each.requires_grad]
        return {"loss_ce": torch.stack([each.sum() * 0 for each in learned]).sum()}
    return {"loss_ce": F.cross_entropy(SCALE * embeds @ words.to(embeds).T, class_ids)}
