"""LoRA on the image tower of CLIP (Hu et al., ICLR 2022), as a peer of relationship prompts.

W + (alpha / r) B A on q, k, v, out and both MLP matrices of every layer. The sum is formed for
each forward pass, in a copy of the layer that shares all else; the frozen weights are never
touched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.substitutes import with_tensors

MATRICES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.out_proj",
    "mlp.fc1",
    "mlp.fc2",
)


class LowRankDeltas(nn.Module):
    """The A (r, in) and B (out, r) of every adapted matrix; B starts at zero."""

    def __init__(self, clip: ClipVit, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for index in range(clip.num_layers):
            for name in MATRICES:
                out_width, in_width = clip.layer(index).get_submodule(name).weight.shape
                down = torch.empty(rank, in_width)
                nn.init.kaiming_uniform_(down, a=math.sqrt(5))
                key = f"{index}.{name}".replace(".", "_")
                self.down[key] = nn.Parameter(down)
                self.up[key] = nn.Parameter(torch.zeros(out_width, rank))

    def block(self, clip: ClipVit, index: int, tokens: Tensor) -> Tensor:
        """Runs layer `index` of the tower with adapted weights on tokens (B, T, d)."""
        layer = clip.layer(index)
        weights = {}
        for name in MATRICES:
            key = f"{index}.{name}".replace(".", "_")
            delta = self.scale * (self.up[key] @ self.down[key])
            weights[f"{name}.weight"] = layer.get_submodule(name).weight + delta
        return with_tensors(layer, weights)(tokens, None)
