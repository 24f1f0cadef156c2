"""CLIP's text tower in plain torch, with the exact GELU of OpenCLIP's newer models.

Pre-norm, causal, read at the end-of-text token, which has the largest id.

Shape letters: M sentences, T tokens, D width, k joint width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip_convnext.config import ClipTextConfig
from segtune.errors import SegtuneError


class ClipText(nn.Module):
    """Turns token ids into embeddings in the joint space, not normalised.

    Args:
        config: sizes.
        joint_width: k.

    Example:
        >>> import torch
        >>> from segtune.backbones.clip_convnext.config import ClipTextConfig
        >>> from segtune.backbones.clip_convnext.text import ClipText
        >>> sizes = ClipTextConfig(16, 1, 2, feedforward=32, context_length=8, vocab_size=20)
        >>> ClipText(sizes, joint_width=12)(torch.tensor([[18, 3, 19, 0]])).shape
        torch.Size([1, 12])
    """

    def __init__(self, config: ClipTextConfig, joint_width: int) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.randn(config.context_length, config.width) * 0.01)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.width)
        self.projection = nn.Parameter(torch.randn(config.width, joint_width) * config.width**-0.5)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns (M, k).

        Columns after the last sentence's end are cut first, which changes nothing: the tower is
        causal.

        Args:
            tokens: (M, T) int64; what follows the end-of-text token does not matter.

        Raises:
            SegtuneError: a sentence is longer than the context.
        """
        if not len(tokens):
            return self.projection.new_zeros(0, self.projection.shape[1])
        ends = tokens.argmax(1)
        tokens = tokens[:, : int(ends.max()) + 1]
        return self.encode_vectors(self.words(tokens), ends)

    def encode_vectors(self, vectors: Tensor, ends: Tensor) -> Tensor:
        """Returns (M, k), with gradients to word vectors.

        Args:
            vectors: (M, T, D), before positions are added.
            ends: (M,) int64, the column of each end-of-text token.
        """
        length = vectors.shape[1]
        if length > self.config.context_length:
            raise SegtuneError(
                f"a sentence is {length} tokens long but the text tower reads "
                f"{self.config.context_length}; use a shorter name or template"
            )
        x = vectors + self.positions[:length]
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)[torch.arange(len(x), device=x.device), ends]
        return x @ self.projection


class TextLayer(nn.Module):
    """Causal self-attention and an MLP, each pre-norm with a residual."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        width, self.num_heads = config.width, config.num_heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, config.feedforward)
        self.shrink = nn.Linear(config.feedforward, width)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (M, T, D)."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project_out(mixed.transpose(1, 2).flatten(2))
        return x + self.shrink(F.gelu(self.expand(self.norm2(x))))
