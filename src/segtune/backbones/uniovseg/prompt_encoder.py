"""Points, clicks and boxes as tokens: Uni-OVSeg's visual prompt encoder (equation 2).

Every prompt is a box: a point is one of 4 x 4 pixels around it. Two tokens stand for its corners,
five more ask for masks: the first for the one mask of a box or of several clicks, the others for
the four granularities of a point. Kind, sign and content go to the corner tokens only.

Shape letters: B images, P prompts, C clicks of one prompt, T tokens of one prompt, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.position import FourierPositions, SinePositions

ANCHOR = 2.0
"""Pixels of the padded input from a point to the sides of its box."""
NUM_GRANULARITIES = 4


@dataclass(frozen=True)
class PromptTokens:
    """Prompts as the mask decoder takes them.

    Attributes:
        tokens: (B, P, T, D), corner tokens first, then mask tokens; content and position at once.
        num_corners: corner tokens per prompt.
        slots: the mask tokens that answer, counted from the first: 0 for boxes and several clicks,
            1 and up, fine granularities among them, for points.
    """

    tokens: Tensor
    num_corners: int
    slots: tuple[int, ...]

    def chunk(self, part: slice) -> PromptTokens:
        """Returns some of the prompts."""
        return PromptTokens(self.tokens[:, part], self.num_corners, self.slots)


class PromptEncoder(nn.Module):
    """Turns prompts in pixels of the padded input into tokens.

    Args:
        width: D, also the channels of the mask features.
        positions: encoding of corners; None draws Fourier features.
        num_granularities: masks per point.

    Example:
        >>> import torch
        >>> from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder
        >>> encoder, features = PromptEncoder(8), torch.zeros(1, 8, 16, 16)
        >>> encoder.points(torch.tensor([[[10.0, 20.0]]]), features, (64, 64)).tokens.shape
        torch.Size([1, 1, 7, 8])
    """

    def __init__(
        self,
        width: int,
        positions: SinePositions | FourierPositions | None = None,
        *,
        num_granularities: int = NUM_GRANULARITIES,
    ) -> None:
        super().__init__()
        self.positions = positions or FourierPositions(width)
        self.corners = nn.Parameter(torch.randn(2, width))
        self.point = nn.Parameter(torch.randn(width))
        self.box = nn.Parameter(torch.randn(width))
        self.signs = nn.Parameter(torch.randn(2, width))  # negative, positive
        self.masks = nn.Parameter(torch.randn(1 + num_granularities, width))

    def points(self, points_px: Tensor, features: Tensor, size: tuple[int, int]) -> PromptTokens:
        """Returns the tokens of single points, each to be answered in all granularities.

        Args:
            points_px: (B, P, 2), (x, y) in pixels of the padded input.
            features: (B, D, h, w) mask features over the padded input, at any stride.
            size: (H, W) of the padded input.
        """
        boxes = torch.cat([points_px - ANCHOR, points_px + ANCHOR], -1)
        corners = self._corners(boxes, features, size) + self.point + self.signs[1]
        return self._with_masks(corners, tuple(range(1, len(self.masks))))

    def clicks(
        self, points_px: Tensor, is_positive: Tensor, features: Tensor, size: tuple[int, int]
    ) -> PromptTokens:
        """Returns the tokens of objects that are clicked on several times, for one mask each.

        The released code cannot do this; here every click gives its two corners.

        Args:
            points_px: (B, P, C, 2).
            is_positive: (B, P, C) bool; False for a click on what does not belong to the object.
            features, size: as in `points`.
        """
        boxes = torch.cat([points_px - ANCHOR, points_px + ANCHOR], -1)
        corners = self._corners(boxes.flatten(1, 2), features, size)  # (B, P * C, 2, D)
        corners = corners.unflatten(1, boxes.shape[1:3])  # (B, P, C, 2, D)
        corners = corners + self.point + self.signs[is_positive.long()][..., None, :]
        return self._with_masks(corners.flatten(2, 3), (0,))

    def boxes(self, boxes_px: Tensor, features: Tensor, size: tuple[int, int]) -> PromptTokens:
        """Returns the tokens of boxes (B, P, 4), xyxy, for one mask each; see `points`."""
        return self._with_masks(self._corners(boxes_px, features, size) + self.box, (0,))

    def content(self, boxes_px: Tensor, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns (B, P, D): the features at the centres of boxes (B, P, 4)."""
        centres = (boxes_px[..., :2] + boxes_px[..., 2:]) / 2 / self._extent(boxes_px, size)
        grid = (2 * centres - 1)[:, None].to(features.dtype)  # (B, 1, P, 2)
        return F.grid_sample(features, grid, align_corners=False)[:, :, 0].mT

    def _corners(self, boxes_px: Tensor, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns (B, P, 2, D): position, corner and content, without kind and sign."""
        places = boxes_px.unflatten(-1, (2, 2)) / self._extent(boxes_px, size)
        content = self.content(boxes_px, features, size)[:, :, None]
        return self.positions.at(places).to(content) + self.corners + content

    def _with_masks(self, corners: Tensor, slots: tuple[int, ...]) -> PromptTokens:
        masks = self.masks.expand(*corners.shape[:2], -1, -1)
        return PromptTokens(torch.cat([corners, masks], 2), corners.shape[2], slots)

    def _extent(self, like: Tensor, size: tuple[int, int]) -> Tensor:
        return like.new_tensor([size[1], size[0]])
