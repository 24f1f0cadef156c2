"""What brings masks and words together: a low-rank adapter per scale, the "prompts" of Uni-OVSeg.

The adapter of the paper was never released; known are its parts (section 3.4: one adapter per
scale, two linear maps with a non-linearity between, fed by the multi-scale features and those of
CLIP). This design is ours:

    r' = Proj(MaskPool(x) + alpha / r * sum over scales s of B_s MaskPool_s(GELU(A_s z_s)))

z_s are the map of the image encoder and that of the pixel decoder at one scale, each brought to
mean 0 and deviation 1 over its channels. B is linear, so pooling the r channels first is exact and
needs a small part of the memory. B starts at zero: r' is then r, bit for bit. Proj may get low-rank
additions of its own.

Shape letters: B images, Q masks, C channels of the last map, k joint width, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip_convnext.model import RegionHead
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.backbones.uniovseg.seen import Seen
from segtune.ops.masks.pooling import masks_at, pool_inside
from segtune.systems.uniovseg.lora import LowRank


class FeatureAdapter(nn.Module):
    """All that stage 2 learns: about 80 000 numbers beside a ConvNeXt-L.

    Args:
        sizes: of the frozen model.
        rank: r.
        alpha: weight of the adapters.
        adapts_head: the matrices of the projection get additions too.

    Example:
        >>> from segtune.backbones.uniovseg.config import RELEASED
        >>> sum(p.numel() for p in FeatureAdapter(RELEASED).parameters())
        80384
    """

    def __init__(
        self,
        sizes: UniOvsegConfig,
        *,
        rank: int = 8,
        alpha: float = 1.0,
        adapts_head: bool = False,
    ) -> None:
        super().__init__()
        self.scale = alpha / rank
        channels = sizes.clip.image.channels
        self.down = nn.ParameterList(torch.empty(rank, width + sizes.hidden) for width in channels)
        self.up = nn.ParameterList(torch.zeros(channels[-1], rank) for _ in channels)
        for weight in self.down:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        width, hidden = channels[-1], sizes.clip.head_hidden
        ends = (
            [width, sizes.clip.joint_width]
            if hidden is None
            else [width, hidden, sizes.clip.joint_width]
        )
        self.head = nn.ModuleList(
            LowRank(before, after, rank=rank, alpha=alpha)
            for before, after in pairwise(ends if adapts_head else [])
        )

    def reduced(self, sources: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Returns the r channels of every scale, (B, r, h, w), after the non-linearity.

        Args:
            sources: of each scale, fine to coarse, the maps that are read; see `sources_of`.
        """
        return [
            F.gelu(F.conv2d(torch.cat([_normed(x) for x in maps], 1), weight[:, :, None, None]))
            for maps, weight in zip(sources, self.down, strict=True)
        ]

    def forward(self, reduced: Sequence[Tensor], mask_logits: Tensor) -> Tensor:
        """Returns what is added to the mean of the last map inside each mask, (B, Q, C).

        Args:
            reduced: from `reduced`.
            mask_logits: (B, Q, h, w), unbounded, over the input.
        """
        parts = []
        for x, weight in zip(reduced, self.up, strict=True):
            size = (x.shape[-2], x.shape[-1])
            parts.append(pool_inside(x, masks_at(mask_logits, size)) @ weight.T)
        return self.scale * torch.stack(parts).sum(0)

    def project(self, head: RegionHead, pooled: Tensor) -> Tensor:
        """Returns what the head of a CLIP makes of pooled features (..., C), additions included."""
        if not self.head:
            return head(pooled)
        x = head.norm(pooled.to(head.norm.weight.dtype))
        if head.expand is not None:
            x = F.gelu(head.expand(x) + self.head[0](x))
        return head.project(x) + self.head[-1](x)


def sources_of(seen: Seen) -> list[tuple[Tensor, Tensor]]:
    """Returns what the adapter reads at each scale, fine to coarse: encoder and decoder map."""
    decoded = (seen.mask_features, *reversed(seen.levels))
    return list(zip(seen.maps, decoded, strict=True))


def region_embeds(
    model: UniOvseg, seen: Seen, mask_logits: Tensor, adapter: FeatureAdapter | None = None
) -> Tensor:
    """Returns the embeddings of the regions under masks, (B, Q, k), unit length.

    Args:
        seen: of the images.
        mask_logits: (B, Q, h, w), unbounded, over the input.
        adapter: None gives those of the frozen CLIP.
    """
    pooled = model.regions(seen, mask_logits)
    if adapter is None:
        return F.normalize(model.clip.project(pooled), dim=-1)
    pooled = pooled + adapter(adapter.reduced(sources_of(seen)), mask_logits)
    return F.normalize(adapter.project(model.clip.head, pooled), dim=-1)


def sees_anything(seen: Seen, mask_logits: Tensor) -> Tensor:
    """Returns (B, Q) bool: masks that hold at least one position of the coarsest map."""
    last = seen.maps[-1]
    return masks_at(mask_logits, (last.shape[-2], last.shape[-1])).flatten(2).any(-1)


def _normed(x: Tensor) -> Tensor:
    """Returns a map with mean 0 and deviation 1 over its channels; nothing in it is learned."""
    return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)
