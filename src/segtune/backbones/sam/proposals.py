"""SAM's and SAM 2's automatic masks as a source of masks without names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import Proposals
from segtune.backbones.sam.model import Sam
from segtune.types import Geometry

ABSENT = -100.0
"""Mask logit of what only fills up an image with fewer masks than its neighbours in the batch."""


class SamProposals(nn.Module):
    """A frozen SAM asked by a grid of clicks; a `ProposalModel` without query embeddings.

    Objectness is the overlap with the true mask that SAM expects. Images of a batch have different
    numbers of masks; what fills up the shorter ones is empty and has objectness 0.

    Args:
        sam: the frozen model.
        grid: clicks per side; 32 is SAM's own.
        min_iou, min_stability: masks of which SAM is less sure go; see `Sam.proposals`.

    Example:
        >>> import torch
        >>> from segtune.backbones.sam.random import random_sam
        >>> source = SamProposals(random_sam(), grid=2, min_iou=-1.0, min_stability=0.0)
        >>> source.propose(torch.zeros(1, 3, 48, 64)).mask_logits.shape[-2:]
        torch.Size([24, 32])
    """

    stride = 1

    def __init__(
        self, sam: Sam, *, grid: int = 32, min_iou: float = 0.88, min_stability: float = 0.95
    ) -> None:
        super().__init__()
        self.sam, self.grid = sam, grid
        self.min_iou, self.min_stability = min_iou, min_stability
        self.name = sam.name

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, 0..255."""
        return self.sam.normalisation.mean

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.sam.device

    @property
    def fingerprint(self) -> str:
        """That of the SAM."""
        return self.sam.fingerprint

    @torch.no_grad()
    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB, any size."""
        geometry = self.sam.geometry(*pixels.shape[-2:])
        found = self.sam.proposals(
            self.sam.features(pixels),
            grid=self.grid,
            geometry=geometry,
            min_iou=self.min_iou,
            min_stability=self.min_stability,
        )
        most = max(len(each.scores) for each in found)
        masks, scores = [], []
        for each in found:
            missing = most - len(each.scores)
            inside = _without_padding(each.mask_logits.float(), geometry)
            masks.append(F.pad(inside, (0, 0, 0, 0, 0, missing), value=ABSENT))
            scores.append(F.pad(each.scores.float(), (0, missing)))
        return Proposals(torch.stack(masks), objectness=torch.stack(scores))


def _without_padding(mask_logits: Tensor, geometry: Geometry) -> Tensor:
    """Returns masks (N, h, w) over the input of SAM as masks over the image inside of it."""
    y, x = (
        inner / side for inner, side in zip(geometry.resized_size, geometry.input_size, strict=True)
    )
    height, width = mask_logits.shape[-2:]
    size = (max(round(height * y), 1), max(round(width * x), 1))
    if size == (height, width) or not len(mask_logits):
        return mask_logits[:, : size[0], : size[1]]
    theta = mask_logits.new_tensor([[[x, 0, x - 1], [0, y, y - 1]]])
    grid = F.affine_grid(theta, [1, 1, *size], align_corners=False)
    return F.grid_sample(mask_logits[None], grid, padding_mode="border", align_corners=False)[0]
