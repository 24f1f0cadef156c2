"""Everything a prompted CLIP learns: static prompts, pixel knowledge, norms, experts, LoRA, head.

The module tree of `LearnedPrompts` is the content of a prompt file; nothing else is trained.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.systems.rpn.config import RPNConfig
from segtune.systems.rpn.heads import LinearProjectionModule, MaskDecoder, TrainingFreeProjection
from segtune.systems.rpn.lora import LowRankDeltas
from segtune.systems.rpn.relationship import MixtureOfExperts


class LearnedPrompts(nn.Module):
    """The learned parameters of a prompted CLIP, with the small maps applied to prompts alone.

    Attributes:
        static: (layers with prompts, s, d), or None.
        knowledge: h, (1 or layers that emit, N or k, d), or None; N is h*w of `config.train_grid`.
        knowledge_bias: (d,) for apg="linear".
        projection: Linear d -> d applied to every prompt, or None.
        norm: LayerNorm before the joint space, or None.
        experts: one M2oE per emitting layer, by layer number.
        lora: low-rank deltas of the image tower, or None.
        head: maps tokens and text to logits.
    """

    def __init__(self, config: RPNConfig, clip: ClipVit) -> None:
        super().__init__()
        d, k = clip.width, clip.joint_width
        emitting = config.emitting_layers(clip.num_layers)
        with_static = config.static_layer_ids(clip.num_layers)
        bound = math.sqrt(6 / (3 * clip.patch_size**2 + d))  # VPT's initialisation

        self.static = _uniform(len(with_static), config.static_tokens, d, bound=bound)
        rows = k if config.itp == "no_pixel" else math.prod(config.train_grid)
        copies = (len(emitting) if config.h_mode == "per_layer" else 1) if emitting else 0
        self.knowledge = _uniform(copies, rows, d, bound=bound)
        self.knowledge_bias: nn.Parameter | None = None
        if config.apg == "linear" and self.knowledge is not None:
            # nn.Linear(N, d): the default initialisation of its weight and bias.
            bound = 1 / math.sqrt(rows)
            nn.init.uniform_(self.knowledge, -bound, bound)
            self.knowledge_bias = nn.Parameter(torch.empty(d).uniform_(-bound, bound))

        self.dropout = config.prompt_dropout
        self.projection: nn.Linear | None = None
        if config.prompt_projection and (with_static or emitting):
            self.projection = nn.Linear(d, d)
            nn.init.kaiming_normal_(self.projection.weight, a=0, mode="fan_out")
        self.norm = nn.LayerNorm(d, eps=1e-6) if config.prompt_norm else None
        self.experts = nn.ModuleDict(
            {
                str(layer): MixtureOfExperts(
                    d,
                    rank=config.m2oe_rank,
                    num_experts=config.m2oe_experts,
                    top_k=config.m2oe_top_k,
                    gated=config.m2oe_gated,
                )
                for layer in (emitting if config.m2oe else ())
            }
        )
        self.lora = (
            LowRankDeltas(clip, rank=config.lora_rank, alpha=config.lora_alpha)
            if config.lora_rank
            else None
        )
        self.head: nn.Module
        if config.head == "lpm":
            self.head = LinearProjectionModule(k, form=config.lpm, text_linears=config.text_linears)
        elif config.head == "tfpm":
            self.head = TrainingFreeProjection(form=config.lpm, scale=clip.temperature)
        else:
            self.head = MaskDecoder(
                k, num_layers=config.decoder_layers, num_heads=config.decoder_heads
            )

    def projected(self, prompts: Tensor) -> Tensor:
        """Returns prompts (..., d) after the shared projection and dropout."""
        if self.projection is not None:
            prompts = self.projection(prompts)
        return F.dropout(prompts, self.dropout, self.training)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """Returns tokens (..., d) after the trainable LayerNorm, where there is one."""
        return tokens if self.norm is None else self.norm(tokens)


def _uniform(count: int, rows: int, width: int, *, bound: float) -> nn.Parameter | None:
    if not count or not rows:
        return None
    return nn.Parameter(torch.empty(count, rows, width).uniform_(-bound, bound))
