"""The text tower of SEEM and X-Decoder: a CLIP text transformer with a projection.

Differences from CLIP: LayerNorm epsilon 1e-12, embeddings divided by their norm plus 1e-7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from segtune.errors import SegtuneError

NORM_EPSILON = 1e-7
SUFFIXES = ("-other", "-merged", "-stuff")


@dataclass(frozen=True)
class SeemTextConfig:
    """Sizes of the text tower; the defaults are those of every published model.

    Attributes:
        width, num_layers, num_heads: of the transformer.
        feedforward: hidden width of its MLPs.
        context_length: longest prompt in tokens.
        vocab_size: number of token ids.
        joint_width: k, width of the space that words and queries share.
        end_id: id of the end-of-text token; None is the last id.
    """

    width: int = 512
    num_layers: int = 12
    num_heads: int = 8
    feedforward: int = 2048
    context_length: int = 77
    vocab_size: int = 49408
    joint_width: int = 512
    end_id: int | None = None


class SeemText(nn.Module):
    """Turns token ids, or token embeddings that are being learned, into unit-length embeddings.

    Attributes:
        config: its sizes.
        end_id: id of the end-of-text token.
        transformer: a `transformers.CLIPTextModel`.
        projection: (D, k), applied as features @ projection.
        logit_scale: (), logarithm of the factor between cosine similarities and class logits.

    Example:
        >>> import torch
        >>> from segtune.backbones.seem.text import SeemText, SeemTextConfig
        >>> sizes = SeemTextConfig(32, 1, 2, feedforward=64, vocab_size=50, joint_width=16)
        >>> text = SeemText(sizes)
        >>> text.encode_text(torch.tensor([[48, 7, 49], [48, 49, 49]])).shape
        torch.Size([2, 16])
    """

    def __init__(self, config: SeemTextConfig) -> None:
        super().__init__()
        self.config = config
        self.end_id = config.vocab_size - 1 if config.end_id is None else config.end_id
        sizes = CLIPTextConfig(
            hidden_size=config.width,
            intermediate_size=config.feedforward,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            max_position_embeddings=config.context_length,
            vocab_size=config.vocab_size,
            hidden_act="quick_gelu",
            layer_norm_eps=1e-12,
            bos_token_id=None,
            eos_token_id=self.end_id,
        )
        self.transformer: Any = CLIPTextModel(sizes)
        self.projection = nn.Parameter(torch.randn(config.width, config.joint_width))
        self.projection.data *= config.width**-0.5
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (B, k) embeddings, unit length, read at the first end-of-text token.

        Columns after the longest prompt of the batch are cut first, which changes nothing: the
        transformer is causal.

        Args:
            tokens: (B, T) int64 token ids; T up to the context length, every row with an end.

        Raises:
            SegtuneError: a row has no end-of-text token, or T exceeds the context length.
        """
        is_end = tokens == self.end_id
        if not bool(is_end.any(1).all()):
            rows = (~is_end.any(1)).nonzero()[:, 0].tolist()
            raise SegtuneError(
                f"prompts {rows} have no end-of-text token ({self.end_id}); shorten them to "
                f"{self.config.context_length} tokens, the last of them {self.end_id}"
            )
        end = self.end_of(tokens)
        return self.encode_embeddings(self.token_embedding(tokens[:, : _longest(end)]), end)

    def end_of(self, tokens: Tensor) -> Tensor:
        """Returns (B,) int64: the column of each row's first end-of-text token; T where none is."""
        # argmax may return any of several ends; count what comes before the first instead.
        return ((tokens == self.end_id).cumsum(1) == 0).sum(1)

    def encode_embeddings(self, embeds: Tensor, end: Tensor) -> Tensor:
        """Returns (B, k) embeddings, unit length, with gradients to `embeds`.

        Args:
            embeds: (B, T, D) token embeddings, before positions are added.
            end: (B,) int64, column of each row's end-of-text token.

        Raises:
            SegtuneError: the longest prompt exceeds the context length.
        """
        if not len(end):
            return embeds.new_zeros(0, self.config.joint_width)
        longest = _longest(end)
        if longest > self.config.context_length:
            raise SegtuneError(
                f"a prompt has {longest} tokens but the text encoder reads "
                f"{self.config.context_length}; use fewer words or fewer learned tokens"
            )
        hidden = self.hidden_states(embeds[:, :longest])
        features = hidden[torch.arange(len(end), device=end.device), end] @ self.projection
        return features / (features.norm(dim=-1, keepdim=True) + NORM_EPSILON)

    def hidden_states(self, embeds: Tensor) -> Tensor:
        """Returns (B, T, D) after the last LayerNorm, from token embeddings (B, T, D)."""
        hidden = self.transformer.embeddings(inputs_embeds=embeds)
        hidden = self.transformer.encoder(inputs_embeds=hidden, is_causal=True).last_hidden_state
        return self.transformer.final_layer_norm(hidden)

    def token_embedding(self, tokens: Tensor) -> Tensor:
        """Returns the embeddings (..., D) of token ids (...), before positions are added."""
        return self.transformer.embeddings.token_embedding(tokens)


def class_name(name: str) -> str:
    """Returns a class name without the marks that COCO puts on its stuff classes.

    Example:
        >>> class_name("tree-merged"), class_name("wall-other-merged"), class_name("road")
        ('tree', 'wall', 'road')
    """
    for suffix in SUFFIXES:
        name = name.replace(suffix, "")
    return name


def _longest(end: Tensor) -> int:
    """Returns how many columns hold every prompt whose last token is at `end` (B,)."""
    return int(end.max()) + 1 if len(end) else 0
