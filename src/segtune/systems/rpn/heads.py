"""How the last layer is read: linear projection module (LPM), its training-free form, ZegCLIP.

Every head maps class token (B, k), patch tokens (B, N, k) and text (K, k), all unit length, to
logits (B, N, K). Shape letters as in `relationship`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TextForm = Literal["a", "b", "c"]


def class_descriptor(cls: Tensor, text: Tensor, form: TextForm) -> Tensor:
    """Returns what stands for a class: a) t, b) t * g, c) [t * g ; t]; (B, K, k) or (B, K, 2k).

    c) is the relationship descriptor of ZegCLIP.
    """
    plain = text[None].expand(len(cls), -1, -1)
    if form == "a":
        return plain
    attended = plain * cls[:, None]
    return attended if form == "b" else torch.cat([attended, plain], -1)


class LinearProjectionModule(nn.Module):
    """LPM: one linear and one LayerNorm per branch, then an inner product (RPN section 3.3).

    Args:
        width: k.
        form: which class descriptor; "c" is the paper's choice.
        text_linears: 2 stacks a second linear on the text branch, as the released code does.
    """

    def __init__(self, width: int, *, form: TextForm = "c", text_linears: int = 1) -> None:
        super().__init__()
        self.form: TextForm = form
        self.image = nn.Linear(width, width)
        self.image_norm = nn.LayerNorm(width)
        sizes = [2 * width if form == "c" else width] + [width] * text_linears
        self.text = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
        self.text_norm = nn.LayerNorm(width)
        for layer in (self.image, *self.text):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, cls: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """Returns logits (B, N, K) = v c^T / sqrt(k)."""
        visual = self.image_norm(self.image(patches))
        classes = self.text_norm(self.text(class_descriptor(cls, text, self.form)))
        return visual @ classes.mT / math.sqrt(visual.shape[-1])


class TrainingFreeProjection(nn.Module):
    """TFPM: the class descriptors compared directly with the patches.

    For form c the widths differ; we add the two comparisons, p (t * g)^T + p t^T (reconstruction).
    Unit vectors make small products, so one learned factor replaces CLIP's fixed 100.

    Args:
        form: which class descriptor.
        scale: start of the factor, exp(logit_scale) of the model.
    """

    def __init__(self, *, form: TextForm = "c", scale: float = 100.0) -> None:
        super().__init__()
        self.form: TextForm = form
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, cls: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """Returns logits (B, N, K)."""
        classes = class_descriptor(cls, text, self.form)
        if self.form == "c":
            attended, plain = classes.chunk(2, -1)
            classes = attended + plain
        return self.log_scale.exp() * (patches @ classes.mT)


class MaskDecoder(nn.Module):
    """ZegCLIP's decoder: class queries attend to the patches; the attention logits are the masks.

    Zhou et al., CVPR 2023, section 3.3. Only the last layer's head-averaged attention logits are
    used, so that layer ends there: its value path and FFN would change nothing.

    Args:
        width: k.
        num_layers, num_heads: 3 and 8 in the published models.
    """

    def __init__(self, width: int, *, num_layers: int = 3, num_heads: int = 8) -> None:
        super().__init__()
        self.query = nn.Linear(2 * width, width)
        self.layers: Any = nn.ModuleList(
            MaskDecoderLayer(width, num_heads) for _ in range(num_layers)
        )

    def forward(self, cls: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """Returns logits (B, N, K)."""
        return self.all_logits(cls, patches, text, only_last=True)[-1]

    def all_logits(
        self, cls: Tensor, patches: Tensor, text: Tensor, *, only_last: bool = False
    ) -> list[Tensor]:
        """Returns the mask logits (B, N, K) of every layer, or of the last one."""
        queries = self.query(class_descriptor(cls, text, "c"))
        logits = []
        for index, layer in enumerate(self.layers):
            is_last = index == len(self.layers) - 1
            if is_last or not only_last:
                logits.append(layer.mask_logits(queries, patches).mT)
            if not is_last:
                queries = layer(queries, patches)
        return logits


class MaskDecoderLayer(nn.Module):
    """Cross-attention and FFN, post-norm; no self-attention among the class queries."""

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)

    def mask_logits(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Returns the mean over heads of q k^T / sqrt(k / heads), (B, K, N).

        The mean over heads of per-head products is one full product divided by the head count.
        """
        query, key = self.q(queries), self.k(patches)
        return query @ key.mT / (math.sqrt(query.shape[-1] / self.num_heads) * self.num_heads)

    def forward(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Returns the queries of the next layer, (B, K, k)."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.q(queries), self.k(patches), self.v(patches))
        )
        p = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=p)
        mixed = self.proj(mixed.transpose(1, 2).flatten(2))
        queries = self.norm2(queries + F.dropout(mixed, p))
        hidden = F.dropout(F.relu(self.linear1(queries)), p)
        return self.norm3(queries + F.dropout(self.linear2(hidden), p))
