"""RPN and ZegCLIP in the formulation of their published code: the plain reference of `rpn_cost.py`.

RPN, Li et al., NeurIPS 2024; ZegCLIP, Zhou et al., CVPR 2023. Both run on the frozen layers and
the learned numbers of a `PromptedClip`, so that nothing but the formulation differs. In their
favour, the text embeddings are given, attention runs in PyTorch's fused kernel, tokens stay
batch-first, and the logits are laid out class by class before they are resized.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.ops.normalisation import IMAGENET_BY_UNIT
from segtune.systems.rpn.heads import MaskDecoder
from segtune.systems.rpn.model import PromptedClip
from segtune.types import Geometry


def released_encoder(system: PromptedClip, pixels: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Returns class (1, k) and patch tokens (1, N, k): prompts are tokens of every layer.

    The prompt projection and, in RPN, the joint space are computed for every prompt in every layer,
    and a relationship prompt is made even after the last layer.
    """
    clip, prompts = system.backbone, system.prompts
    tokens = clip.embed(pixels, class_embedding_twice=True)  # (1, 1 + N, d)
    num_patches = tokens.shape[1] - 1
    relation = tokens[:, :0]  # (1, K, d) after the first layer
    for index in range(clip.num_layers):
        beside = prompts.projection(torch.cat([prompts.static[index][None], relation], 1))
        tokens = torch.cat([tokens[:, :1], beside, tokens[:, -num_patches:]], 1)
        tokens = clip.layer(index)(tokens, None)
        if system.config.relationship:
            joint = clip.to_joint(prompts.norm(tokens))
            attention = joint[:, -num_patches:] @ (text * joint[:, :1]).mT  # (1, N, K)
            relation = attention.mT @ prompts.knowledge[0]
    if not system.config.relationship:
        joint = clip.to_joint(prompts.norm(tokens))
    return joint[:, 0], joint[:, -num_patches:]


def released_decoder(head: MaskDecoder, cls: Tensor, patches: Tensor, text: Tensor) -> Tensor:
    """Returns ZegCLIP's logits (1, N, K): all three layers in full, attention written out."""
    queries = head.query(torch.cat([text * cls[:, None], text[None]], -1))  # (1, K, k)
    for layer in head.layers:
        query, key, value = (
            part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
            for part in (layer.q(queries), layer.k(patches), layer.v(patches))
        )
        attention = query @ key.mT / query.shape[-1] ** 0.5  # (1, heads, K, N)
        mixed = (attention.softmax(-1) @ value).transpose(1, 2).flatten(2)
        queries = layer.norm2(queries + layer.proj(mixed))
        queries = layer.norm3(queries + layer.linear2(layer.linear1(queries).relu()))
    return attention.mean(1).mT


def released_logits(system: PromptedClip, pixels: Tensor, text: Tensor) -> Tensor:
    """Returns logits (K, h, w) of (1, 3, H, W) pixels 0..255; text: (K, k), unit length."""
    grid = system.backbone.grid(*pixels.shape[-2:])
    pixels = IMAGENET_BY_UNIT.apply(pixels)
    cls, patches = released_encoder(system, pixels, text)
    if system.config.head == "decoder":
        logits = released_decoder(system.prompts.head, cls, patches, text)
    else:
        logits = system.prompts.head(cls, patches, text)
    return logits[0].T.contiguous().unflatten(1, grid)


def released_labels(logits: Tensor, geometry: Geometry) -> Tensor:
    """Returns the label map (H, W) by way of full-size probabilities of all classes at once.

    The published code takes the sigmoid between the two resizings; here it comes last and in place,
    so that label maps can be compared with segtune's, which resizes logits.
    """
    planes = F.interpolate(logits[None], geometry.input_size, mode="bilinear")
    planes = F.interpolate(planes, geometry.original_size, mode="bilinear")
    return planes.sigmoid_()[0].argmax(0)


def released_num_trainable(system: PromptedClip) -> int:
    """Returns the trainable numbers of the published code, with those its forward never reads."""
    if system.config.relationship:  # one more LayerNorm on prompts
        return system.num_learned() + 2 * system.backbone.width
    k, layers = system.backbone.joint_width, system.config.decoder_layers
    return system.num_learned() + layers * (4 * k * (k + 1) + 2 * k)  # self-attention, its norm
