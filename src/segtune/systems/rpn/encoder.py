"""The image tower with prompts beside the tokens of each layer.

RPN section 3: after layer i the class and patch tokens are compared with the class names, each
class gets a prompt, and layer i + 1 attends to it. Prompt outputs are dropped after every layer,
so prompts act as extra keys and values only. At inference, what does not depend on the image is
computed once: keys and values of static prompts, and the prompt projection folded into the pixel
knowledge, rel W^T + b = m^T (h W^T) + b.

Shape letters: B images, N = h*w patches, K classes, s static prompts, d encoder width, k joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segtune.backbones.clip.model import ClipVit, KeysValues
from segtune.systems.rpn.config import RPNConfig
from segtune.systems.rpn.prompts import LearnedPrompts
from segtune.systems.rpn.relationship import (
    attention_map,
    balance_loss,
    relationship_prompts,
    resize_knowledge,
)


@dataclass(frozen=True)
class Encoded:
    """Result of the tower: cls (B, k), patches (B, N, k), unit length; balance, a scalar loss."""

    cls: Tensor
    patches: Tensor
    balance: Tensor


@dataclass(frozen=True)
class Prepared:
    """What the layers need from the prompts, independent of the image.

    Attributes:
        tokens: static prompts (1, s, d) by layer, after projection.
        keys_values: their keys and values by layer, at inference.
        knowledge: h on the grid in use, by emitting layer; holds the projection where `is_folded`.
        bias: (d,) added to every relationship prompt, or None.
        is_folded: relationship prompts come out projected.
    """

    tokens: dict[int, Tensor]
    keys_values: dict[int, KeysValues]
    knowledge: dict[int, Tensor]
    bias: Tensor | None
    is_folded: bool


class PromptedEncoder:
    """Runs the layers of a frozen CLIP with learned prompts; owns no parameters itself."""

    def __init__(self, clip: ClipVit, config: RPNConfig, prompts: LearnedPrompts) -> None:
        self.clip, self.config, self.prompts = clip, config, prompts
        self.emitting = config.emitting_layers(clip.num_layers)
        self.static_layers = config.static_layer_ids(clip.num_layers)
        self._cache: tuple[object, Prepared] | None = None

    @property
    def first_layer(self) -> int:
        """The first layer that a learned number enters; everything before it can be cached."""
        if self.config.lora_rank or (self.config.static_mode == "shallow" and self.static_layers):
            return 0
        starts = [*self.static_layers, *(layer + 1 for layer in self.emitting)]
        return min(starts, default=self.clip.num_layers)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Returns the tokens (B, 1 + N, d) that enter `first_layer`; pixels are normalised."""
        tokens = self.clip.embed(pixels, class_embedding_twice=self.config.class_embedding_twice)
        for index in range(self.first_layer):
            tokens = self.clip.block(index, tokens)
        return tokens

    def __call__(self, tokens: Tensor, grid: tuple[int, int], text: Tensor) -> Encoded:
        """Runs the remaining layers.

        Args:
            tokens: (B, 1 + N, d), as `encode` returns them.
            grid: (h, w) of the patches.
            text: (K, k), unit length.
        """
        balance = tokens.new_zeros(())
        if self.config.static_mode == "shallow" and self.static_layers:
            cls, patches = self.joint(self._run_shallow(tokens))
            return Encoded(cls, patches, balance)
        prepared = self.prepare(grid)
        relation = None
        start = self.first_layer
        if start - 1 in self.emitting:
            relation, share = self._emit(start - 1, tokens, grid, text, prepared)
            balance = balance + share
        for index in range(start, self.clip.num_layers):
            tokens = self._layer(index, tokens, relation, prepared)
            relation = None
            if index in self.emitting:
                relation, share = self._emit(index, tokens, grid, text, prepared)
                balance = balance + share
        cls, patches = self.joint(tokens)
        return Encoded(cls, patches, balance)

    def joint(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (B, k) class and (B, N, k) patch tokens in the joint space, unit length."""
        joint = self.clip.to_joint(self.prompts.norm_tokens(tokens))
        return joint[:, 0], joint[:, 1:]

    # -- prompts ------------------------------------------------------------------------------

    def prepare(self, grid: tuple[int, int]) -> Prepared:
        """Returns the image-independent part for a patch grid; kept between inference calls."""
        if self.prompts.training:  # dropout belongs after the projection: nothing is folded
            return self._prepare(grid, for_inference=False)
        parameters = list(self.prompts.parameters())
        # Tensors born in inference mode do not count their changes, so they cannot be watched.
        if torch.is_grad_enabled() or any(p.is_inference() for p in parameters):
            return self._prepare(grid, for_inference=True)
        versions = tuple((p.data_ptr(), p._version) for p in parameters)
        device = parameters[0].device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        key = (grid, self.config.prompt_path, precision, versions)
        kept = self._cache  # read once: another thread may put its own there
        if kept is None or kept[0] != key:
            kept = self._cache = (key, self._prepare(grid, for_inference=True))
        return kept[1]

    def _prepare(self, grid: tuple[int, int], *, for_inference: bool) -> Prepared:
        prompts = self.prompts
        static: dict[int, Tensor] = {}
        keys_values: dict[int, KeysValues] = {}
        if prompts.static is not None:
            tokens = prompts.projected(prompts.static)
            static = {layer: tokens[j : j + 1] for j, layer in enumerate(self.static_layers)}
            if for_inference and self.config.prompt_path != "concat":
                keys_values = {
                    layer: self.clip.prompt_keys_values(layer, tokens)
                    for layer, tokens in static.items()
                }
        knowledge: Tensor | None = prompts.knowledge
        bias: Tensor | None = prompts.knowledge_bias
        by_layer: dict[int, Tensor] = {}
        if knowledge is not None:
            if for_inference and prompts.projection is not None:
                weight = prompts.projection.weight
                knowledge = knowledge @ weight.T
                bias = prompts.projection.bias + (0 if bias is None else bias @ weight.T)
            if self.config.itp == "no_pixel":
                copies = list(knowledge)
            else:
                copies = [resize_knowledge(h, self.config.train_grid, grid) for h in knowledge]
            by_layer = {
                layer: copies[min(j, len(copies) - 1)] for j, layer in enumerate(self.emitting)
            }
        return Prepared(static, keys_values, by_layer, bias, for_inference)

    def _emit(
        self, index: int, tokens: Tensor, grid: tuple[int, int], text: Tensor, prepared: Prepared
    ) -> tuple[Tensor, Tensor]:
        """Relationship prompts (B, K, d) made after layer `index`, and the load-balance loss."""
        balance = tokens.new_zeros(())
        if str(index) in self.prompts.experts:
            patches, gates = self.prompts.experts[str(index)](tokens[:, 1:], grid)
            tokens = torch.cat([tokens[:, :1], patches], 1)
            if self.prompts.training and self.config.m2oe_balance:
                balance = self.config.m2oe_balance * balance_loss(gates)
        cls, patches = self.joint(tokens)
        relation = relationship_prompts(
            patches,
            cls,
            text,
            prepared.knowledge[index],
            itp=self.config.itp,
            bias=prepared.bias,
        )
        if not prepared.is_folded:
            relation = self.prompts.projected(relation)
        if self.config.prefix != "cat":
            # Scattered back to the pixels with the same attention: z = m rel, (B, N, d).
            relation = attention_map(patches, cls, text, itp=self.config.itp) @ relation
        return relation, balance

    # -- layers -------------------------------------------------------------------------------

    def _layer(
        self, index: int, tokens: Tensor, relation: Tensor | None, prepared: Prepared
    ) -> Tensor:
        if self.prompts.lora is not None:
            return self.prompts.lora.block(self.clip, index, tokens)
        if relation is not None and self.config.prefix != "cat":
            first, patches = tokens[:, :1], tokens[:, 1:]
            patches = patches + relation if self.config.prefix == "add" else patches * relation
            tokens, relation = torch.cat([first, patches], 1), None
        if index in prepared.keys_values:
            cached = prepared.keys_values[index]
            return self.clip.block(index, tokens, prompts=relation, cached=cached)
        parts = [part for part in (prepared.tokens.get(index), relation) if part is not None]
        prompts = torch.cat([p.expand(len(tokens), -1, -1) for p in parts], 1) if parts else None
        return self.clip.block(index, tokens, prompts=prompts, path=self.config.prompt_path)

    def _run_shallow(self, tokens: Tensor) -> Tensor:
        """Prompts enter before layer 0 and stay in the sequence to the end (VPT-shallow)."""
        assert self.prompts.static is not None
        static = self.prompts.projected(self.prompts.static).expand(len(tokens), -1, -1)
        tokens = torch.cat([tokens[:, :1], static, tokens[:, 1:]], 1)
        for index in range(self.clip.num_layers):
            tokens = self.clip.block(index, tokens)
        return torch.cat([tokens[:, :1], tokens[:, 1 + static.shape[1] :]], 1)


def as_picture(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Returns (B, c, h, w) of patch rows (B, N, c)."""
    return patches.mT.unflatten(2, grid)
