"""CLIP with a ViT image tower, frozen: token by token access for dense prediction and prompts.

The modules are those of `transformers.CLIPModel`; this file adds what dense prediction needs:
position tables for any grid, the features of every layer, and prompts that act as extra keys and
values of a layer. Radford et al., ICML 2021; prompts as keys and values are an exact rewriting of
concatenated prompt tokens whose outputs are dropped after the layer (VPT, ZegCLIP, RPN).

Shape letters: B images, N = h*w patches, T = 1 + N tokens, S prompts, d width, k joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel

from segtune.backbones.base import fingerprint_of
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.normalisation import CLIP, Normalisation

KeysValues = tuple[Tensor, Tensor]


class ClipVit(nn.Module):
    """A frozen CLIP whose image tower can be run layer by layer, with prompts.

    Attributes:
        name: what tables and files call it.
        normalisation: of the images that it was trained with.
        dense_size: shorter side in pixels at which it is best used for dense prediction.
        patch_size, width, joint_width, num_layers: sizes of the image tower.
        mask_prompts: (D, N, d) mask prompts that came with the weights, for
            `masked_clip.region_embeds`; None where there are none. No part of the fingerprint.

    Example:
        >>> import torch
        >>> from segtune.backbones.clip.random import random_clip_vit
        >>> from segtune.backbones.clip.model import ClipVit
        >>> clip = random_clip_vit(width=32, layers=2, image_size=32, patch_size=8, seed=0)
        >>> tokens = clip.embed(torch.zeros(1, 3, 32, 48))
        >>> clip.block(0, tokens, prompts=torch.zeros(1, 5, 32)).shape
        torch.Size([1, 25, 32])
    """

    kind: ClassVar[str] = "clip-vit"
    uses_windows: ClassVar[bool] = True
    background_word: ClassVar[str | None] = None

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: Any | None = None,
        *,
        name: str = "clip",
        normalisation: Normalisation = CLIP,
        dense_size: int | None = None,
        mask_prompts: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.mask_prompts: Tensor | None
        self.register_buffer("mask_prompts", mask_prompts, persistent=False)
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.normalisation = normalisation
        vision: Any = model.config.vision_config
        self.patch_size: int = int(vision.patch_size)
        self.width: int = vision.hidden_size
        self.num_layers: int = vision.num_hidden_layers
        self.joint_width: int = self.model.config.projection_dim
        self.image_size: int = vision.image_size
        self.dense_size: int = dense_size or self.image_size

    def train(self, mode: bool = True) -> ClipVit:
        """Stays in evaluation mode: frozen means frozen."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.logit_scale.device

    @property
    def temperature(self) -> float:
        """exp(logit_scale): the factor between cosine similarities and logits, 100 for CLIP."""
        return float(self.model.logit_scale.exp())

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.model.state_dict())

    # -- image tower ------------------------------------------------------------------------

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Returns (h, w) of the patch grid of an input of that size in pixels.

        Raises:
            SegtuneError: a side is not a multiple of the patch size.
        """
        p = self.patch_size
        if height % p or width % p:
            raise SegtuneError(
                f"input is {height}x{width} but {self.name} needs multiples of {p}; "
                f"resize or pad to {-(-height // p) * p}x{-(-width // p) * p}"
            )
        return height // p, width // p

    def embed(self, pixels: Tensor, *, class_embedding_twice: bool = False) -> Tensor:
        """Returns the tokens that enter layer 0, after the first LayerNorm.

        Args:
            pixels: (B, 3, H, W), normalised; H and W multiples of the patch size.
            class_embedding_twice: add the class embedding to the class token once more, as the
                official ZegCLIP and RPN code does.

        Returns:
            (B, 1 + N, d), class token first. Position tables are resized bilinearly, as there.
        """
        patches = self.patches(pixels)
        grid = self.grid(*pixels.shape[-2:])
        return self.enter(patches, grid, class_embedding_twice=class_embedding_twice)

    def patches(self, pixels: Tensor) -> Tensor:
        """Returns the patch tokens (B, N, d) of normalised pixels, before positions are added."""
        layer = self.model.vision_model.embeddings.patch_embedding
        return layer(pixels.to(layer.weight.dtype)).flatten(2).transpose(1, 2)

    def enter(
        self, patches: Tensor, grid: tuple[int, int], *, class_embedding_twice: bool = False
    ) -> Tensor:
        """Returns the tokens that enter layer 0, (B, 1 + N, d), of patch tokens (B, N, d).

        Args:
            grid: (h, w) with h * w = N.
            class_embedding_twice: as in `embed`.
        """
        layer = self.model.vision_model.embeddings
        cls = layer.class_embedding * (2 if class_embedding_twice else 1)
        tokens = torch.cat([cls.expand(len(patches), 1, -1), patches], 1)
        return self.model.vision_model.pre_layrnorm(tokens + self._positions(*grid))

    def _positions(self, h: int, w: int) -> Tensor:
        table = self.model.vision_model.embeddings.position_embedding.weight  # (1 + N0, d)
        side = round((len(table) - 1) ** 0.5)
        if (h, w) == (side, side):
            return table
        grid = table[1:].T.reshape(1, -1, side, side)
        grid = F.interpolate(grid, (h, w), mode="bilinear", align_corners=False)
        return torch.cat([table[:1], grid[0].flatten(1).T])

    def layer(self, index: int) -> Any:
        """Returns one encoder layer, a `transformers` module."""
        return self.model.vision_model.encoder.layers[index]

    def block(
        self,
        index: int,
        tokens: Tensor,
        *,
        prompts: Tensor | None = None,
        cached: KeysValues | None = None,
        path: Literal["kv", "concat"] = "kv",
    ) -> Tensor:
        """Runs one encoder layer in which the tokens also attend to prompts.

        Args:
            index: layer, 0-based.
            tokens: (B, T, d).
            prompts: (B, S, d) tokens whose output is not wanted.
            cached: keys and values of further prompts, each (1, s, d), from `prompt_keys_values`.
            path: "kv" gives the prompts to the attention as extra keys and values; "concat" runs
                them through the layer and drops their output. Same result; `cached` needs "kv".

        Returns:
            (B, T, d).
        """
        layer = self.layer(index)
        if prompts is None and cached is None:
            return layer(tokens, None)
        if path == "concat":
            if prompts is None or cached is not None:
                raise ValueError("path='concat' takes prompt tokens, not cached keys and values")
            first, rest = tokens[:, :1], tokens[:, 1:]
            joined = layer(torch.cat([first, prompts, rest], 1), None)
            return torch.cat([joined[:, :1], joined[:, 1 + prompts.shape[1] :]], 1)
        return _block_kv(layer, tokens, prompts, cached)

    def prompt_keys_values(self, index: int, prompts: Tensor) -> KeysValues:
        """Returns the keys and values, each (B, S, d), of prompt tokens (B, S, d) in a layer."""
        layer = self.layer(index)
        normed = layer.layer_norm1(prompts)
        return layer.self_attn.k_proj(normed), layer.self_attn.v_proj(normed)

    def value_path(self, index: int, tokens: Tensor) -> Tensor:
        """Runs a layer with attention replaced by its value path (MaskCLIP, Zhou et al. 2022).

        Every token keeps its own value instead of averaging others, which keeps the features of
        the last layer local. tokens and result: (B, T, d).
        """
        layer = self.layer(index)
        attention = layer.self_attn
        tokens = tokens + attention.out_proj(attention.v_proj(layer.layer_norm1(tokens)))
        return tokens + layer.mlp(layer.layer_norm2(tokens))

    def hidden_states(self, tokens: Tensor) -> list[Tensor]:
        """Returns the tokens after every layer, num_layers x (B, T, d), without prompts."""
        states = []
        for index in range(self.num_layers):
            tokens = self.block(index, tokens)
            states.append(tokens)
        return states

    def to_joint(self, tokens: Tensor) -> Tensor:
        """Projects tokens (..., d) to the joint image-text space: (..., k), unit length."""
        tokens = self.model.vision_model.post_layernorm(tokens)
        return F.normalize(self.model.visual_projection(tokens), dim=-1)

    @property
    def region_clip(self) -> ClipVit:
        """The CLIP that names regions: itself."""
        return self

    # -- text tower -------------------------------------------------------------------------

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns token ids (M, longest), int64, padded after the end-of-text token.

        Raises:
            WeightsError: the model was loaded without a tokenizer.
            SegtuneError: a sentence does not fit the context of the text tower.
        """
        if self.tokenizer is None:
            raise WeightsError(
                f"{self.name} has no tokenizer files beside its weights; put tokenizer.json (or "
                "vocab.json and merges.txt) into its folder, or pass tokenizer=FOLDER"
            )
        context = self.model.config.text_config.max_position_embeddings
        ids = [self.tokenizer(sentence)["input_ids"] for sentence in sentences]
        for sentence, tokens in zip(sentences, ids, strict=True):
            if len(tokens) > context:
                raise SegtuneError(
                    f"{sentence[:60]!r}... is {len(tokens)} tokens long but {self.name} reads "
                    f"{context}; use a shorter name or template"
                )
        longest = max(map(len, ids))
        end = ids[0][-1]
        return torch.tensor([row + [end] * (longest - len(row)) for row in ids])

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Returns (M, k) text embeddings, not normalised.

        The text tower is causal and read at the end-of-text token, so columns after the last
        sentence's end change nothing; callers may cut them (`tokenize` does).

        Args:
            token_ids: (M, L) int64, L up to the context length.
        """
        if self.model.text_model is None:
            raise WeightsError(f"{self.name} has no text tower; load a whole CLIP to use words")
        output = self.model.text_model(input_ids=token_ids.to(self.device))
        return self.model.text_projection(output.pooler_output)


def _block_kv(
    layer: Any, tokens: Tensor, prompts: Tensor | None, cached: KeysValues | None
) -> Tensor:
    """One pre-norm transformer layer whose attention sees extra keys and values."""
    tokens = tokens + _attend(layer, tokens, prompts, cached)
    return tokens + layer.mlp(layer.layer_norm2(tokens))


def _attend(
    layer: Any, tokens: Tensor, prompts: Tensor | None, cached: KeysValues | None
) -> Tensor:
    """Attention of tokens (B, T, d) to themselves, to prompts and to what is cached: (B, T, d)."""
    attention = layer.self_attn
    normed = layer.layer_norm1(tokens)
    source = normed
    if prompts is not None:
        # One projection over [tokens; prompts] avoids copying keys and values afterwards.
        source = torch.cat([normed, layer.layer_norm1(prompts)], 1)
    query, key, value = attention.q_proj(normed), attention.k_proj(source), attention.v_proj(source)
    if cached is not None:
        key = torch.cat([key, cached[0].expand(len(key), -1, -1)], 1)
        value = torch.cat([value, cached[1].expand(len(value), -1, -1)], 1)
    query, key, value = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for part in (query, key, value)
    )
    mixed = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, d / heads)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))
