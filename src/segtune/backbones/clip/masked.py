"""CLIP on masked regions, with mask prompts in the blank patches (OVSeg, Liang et al., CVPR 2023).

A region is a crop whose background is painted over. A patch without a single pixel of the region
says nothing, so mask prompt tuning (section 3.3) puts a learned token in its place: at the input of
the image tower, and again at the inputs of the next D - 1 blocks,

    x_0 = T * M + P_0 * (1 - M)              T patch tokens, M patches that show the region
    x_i = block(x_{i-1}) * M + P_i * (1 - M)      i = 1 .. D - 1; the class token is never replaced

Prompts belong to positions and are shared by all images. Two paths give the same result. The plain
one runs every token through every block. The fast one leaves out what is known beforehand or read
by nobody:

- At the inputs of blocks 0 .. D - 1 the tokens of blank patches are the same for all regions, so
  their queries, keys and values are computed once per call.
- In blocks 0 .. D - 2 the outputs of blank patches are replaced, so they are not computed.
- In the last block only the class token is read, so only its query goes on.

Shape letters: R regions, S side in pixels, P patch size, N = (S / P)^2 patches, D prompted layers,
d width of the image tower, k joint width, T tokens that are left when those of blank patches are
taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.clip.model import ClipVit
from segtune.errors import WeightsError

AT_ONCE = {"cpu": 8}
"""Device -> regions that go through the tower together without gradients, so that what a block
writes stays in the cache of a processor; other devices take all."""


@runtime_checkable
class NamesRegions(Protocol):
    """A frozen model that says what a part of an image shows, by a CLIP that looks at regions."""

    @property
    def region_clip(self) -> ClipVit: ...


def region_embeds(
    clip: ClipVit,
    pixels: Tensor,
    masks: Tensor | None = None,
    prompts: Tensor | None = None,
    *,
    path: Literal["fast", "plain"] = "fast",
    at_once: int | None = None,
) -> Tensor:
    """Returns the image embeddings of regions: (R, k), unit length.

    Gradients reach the prompts, the pixels and whatever of `clip` asks for them.

    Args:
        clip: its position table must be made for regions of this size.
        pixels: (R, 3, S, S), normalised; blank where a pixel is not of the region. R may be 0.
        masks: (R, S, S), above zero on the region; a patch with one such pixel keeps its token.
            None lets all of them keep theirs.
        prompts: (D, N, d), or (D, 1, d) for one token at all positions; D up to the number of
            layers. None leaves blank patches as they are. Without `masks` they are not used.
        path: "fast" or "plain"; equal up to rounding.
        at_once: regions that go through the tower together without gradients; None takes 8 on
            processors and all elsewhere.

    Raises:
        WeightsError: prompts of another width, number of patches or too many layers.
    """
    clip.grid(*pixels.shape[-2:])
    if prompts is not None:
        check_prompts(clip, prompts, num_patches=_num_patches(clip, pixels))
    if not len(pixels):
        return pixels.new_zeros(0, clip.joint_width)
    if masks is None or prompts is None:
        shown = pixels.new_ones(len(pixels), _num_patches(clip, pixels), dtype=torch.bool)
        prompts = None
    else:
        shown = shown_patches(masks, clip.patch_size)

    def run(pixels: Tensor, shown: Tensor) -> Tensor:
        if path == "plain":
            return _plain(clip, pixels, shown, prompts)
        return _fast(clip, pixels, shown, known)

    known = _known(clip, prompts, clip.grid(*pixels.shape[-2:])) if path == "fast" else []
    if torch.is_grad_enabled():
        return run(pixels, shown)
    # Regions with about equally many patches go together: queries are padded to the most of them.
    order = shown.sum(1).argsort(stable=True)
    chunks = order.split(at_once or AT_ONCE.get(pixels.device.type, len(order)))
    parts = [run(pixels[rows], shown[rows]) for rows in chunks]
    return torch.cat(parts)[order.argsort()]


def shown_patches(masks: Tensor, patch_size: int) -> Tensor:
    """Returns (R, N) bool: the patches that show at least one pixel of (R, S, S) masks.

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 4, 4)
        >>> mask[0, 0, 3] = 1
        >>> shown_patches(mask, 2).tolist()
        [[False, True, False, False]]
    """
    return F.max_pool2d((masks > 0).float()[:, None], patch_size).flatten(1) > 0


def check_prompts(clip: ClipVit, prompts: Tensor, *, num_patches: int | None = None) -> None:
    """Raises `WeightsError` where mask prompts do not fit the image tower of a CLIP.

    Args:
        prompts: (D, N, d) or (D, 1, d).
        num_patches: N; None means that of the images that the CLIP was made for.
    """
    patches = num_patches or (clip.image_size // clip.patch_size) ** 2
    shape = tuple(prompts.shape)
    fits = len(shape) == 3 and shape[1] in (1, patches) and shape[2] == clip.width
    if not fits or not 1 <= shape[0] <= clip.num_layers:
        raise WeightsError(
            f"mask prompts are {shape} but {clip.name} takes (1 to {clip.num_layers} layers, "
            f"{patches} patches or 1, {clip.width}); choose prompts that were learned on it"
        )


def _num_patches(clip: ClipVit, pixels: Tensor) -> int:
    height, width = clip.grid(*pixels.shape[-2:])
    return height * width


# -- all tokens through all blocks ------------------------------------------------------------


def _plain(clip: ClipVit, pixels: Tensor, shown: Tensor, prompts: Tensor | None) -> Tensor:
    """Returns (R, k); the equations of the module docstring, line by line."""
    kept = shown[:, :, None]  # (R, N, 1)
    patches = clip.patches(pixels)  # (R, N, d)
    if prompts is not None:
        patches = torch.where(kept, patches, prompts[0])
    tokens = clip.enter(patches, clip.grid(*pixels.shape[-2:]))  # (R, 1 + N, d)
    for index in range(clip.num_layers):
        if prompts is not None and 0 < index < len(prompts):
            replaced = torch.where(kept, tokens[:, 1:], prompts[index])
            tokens = torch.cat([tokens[:, :1], replaced], 1)
        tokens = clip.block(index, tokens)
    return clip.to_joint(tokens[:, 0])


# -- only what is needed ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Where the tokens of regions lie when those of blank patches are taken out.

    Attributes:
        own: (R, 1 + N) bool, class token and shown patches: the T tokens that differ by region.
        source: (R, 1 + N) int64, rows of [T own tokens; N prompts] that fill all places.
        queries: (R, Q) int64, rows of the own tokens of each region, class token first; regions
            with fewer than Q repeat their class token.
        places: (T,) int64, where the own tokens lie in the flattened `queries`.
    """

    own: Tensor
    source: Tensor
    queries: Tensor
    places: Tensor

    @classmethod
    def of(cls, shown: Tensor) -> _Rows:
        """Returns the rows for (R, N) bool patches that show a region."""
        own = F.pad(shown, (1, 0), value=True)
        counts = own.sum(1)  # (R,)
        total, most = int(counts.sum()), int(counts.max())
        number = own.flatten().cumsum(0).view_as(own) - 1
        prompt = total + torch.arange(-1, own.shape[1] - 1, device=own.device)
        first = number[:, :1]  # row of the class token
        rank = torch.arange(most, device=own.device)
        queries = torch.where(rank < counts[:, None], first + rank, first)
        places = (rank < counts[:, None]).flatten().nonzero()[:, 0]
        return cls(own, torch.where(own, number, prompt), queries, places)


@dataclass(frozen=True)
class _Known:
    """What blank patches are at the input of a prompted block, the same for all regions.

    Attributes:
        tokens: (N, d).
        query, key, value: (N, d), their projections; no query where none asks for the output.
    """

    tokens: Tensor
    query: Tensor | None
    key: Tensor
    value: Tensor


def _known(clip: ClipVit, prompts: Tensor | None, grid: tuple[int, int]) -> list[_Known]:
    """Returns one entry per prompted block, D of them."""
    if prompts is None:
        return []
    spread = prompts.expand(-1, grid[0] * grid[1], -1)
    if not torch.is_grad_enabled():  # iterated views of a parameter would still ask for gradients
        spread = spread.detach()
    entered = [clip.enter(spread[:1], grid)[0, 1:], *spread[1:]]  # D x (N, d)
    known = []
    for index, tokens in enumerate(entered):
        layer = clip.layer(index)
        attention, normed = layer.self_attn, layer.layer_norm1(tokens)
        goes_on = index == len(entered) - 1 < clip.num_layers - 1
        query = attention.q_proj(normed) if goes_on else None
        known.append(_Known(tokens, query, attention.k_proj(normed), attention.v_proj(normed)))
    return known


def _fast(clip: ClipVit, pixels: Tensor, shown: Tensor, known: list[_Known]) -> Tensor:
    """Returns (R, k) without the work that the module docstring lists."""
    tokens = clip.enter(clip.patches(pixels), clip.grid(*pixels.shape[-2:]))  # (R, 1 + N, d)
    if known:
        rows = _Rows.of(shown)
        own = tokens[rows.own]  # (T, d)
        for index, blank in enumerate(known):
            if index == clip.num_layers - 1:
                return clip.to_joint(_last_prompted(clip.layer(index), own, blank, rows))
            if blank.query is None:
                own = _prompted_own(clip.layer(index), own, blank, rows)
            else:
                tokens = _prompted_all(clip.layer(index), own, blank, rows)
    for index in range(len(known), clip.num_layers - 1):
        tokens = clip.block(index, tokens)
    return clip.to_joint(_last(clip.layer(clip.num_layers - 1), tokens))


def _prompted_own(layer: Any, own: Tensor, blank: _Known, rows: _Rows) -> Tensor:
    """Runs a block after which blank patches are replaced again: (T, d) to (T, d)."""
    attention, normed = layer.self_attn, layer.layer_norm1(own)
    query = F.embedding(rows.queries, attention.q_proj(normed))  # (R, Q, d)
    key, value = _keys_values(attention, normed, blank, rows)
    mixed = _mix(attention, query, key, value).flatten(0, 1)  # (R * Q, d)
    own = own + attention.out_proj(mixed[rows.places])
    return own + layer.mlp(layer.layer_norm2(own))


def _prompted_all(layer: Any, own: Tensor, blank: _Known, rows: _Rows) -> Tensor:
    """Runs the last block whose blank patches are known at its input: (T, d) to (R, 1 + N, d)."""
    attention, normed = layer.self_attn, layer.layer_norm1(own)
    assert blank.query is not None
    query = _filled(attention.q_proj(normed), blank.query, rows)
    key, value = _keys_values(attention, normed, blank, rows)
    tokens = _filled(own, blank.tokens, rows)
    tokens = tokens + attention.out_proj(_mix(attention, query, key, value))
    return tokens + layer.mlp(layer.layer_norm2(tokens))


def _last_prompted(layer: Any, own: Tensor, blank: _Known, rows: _Rows) -> Tensor:
    """Runs the last block of the tower, where it has prompts, for the class token: (R, d)."""
    normed, first = layer.layer_norm1(own), rows.queries[:, 0]
    key, value = _keys_values(layer.self_attn, normed, blank, rows)
    return _class_token(layer, own[first], normed[first], key, value)


def _keys_values(
    attention: Any, normed: Tensor, blank: _Known, rows: _Rows
) -> tuple[Tensor, Tensor]:
    """Returns the keys and values of all places, each (R, 1 + N, d)."""
    key = _filled(attention.k_proj(normed), blank.key, rows)
    return key, _filled(attention.v_proj(normed), blank.value, rows)


def _filled(own: Tensor, blank: Tensor, rows: _Rows) -> Tensor:
    """Returns (R, 1 + N, d): (T, d) own rows in their places, (N, d) prompts in the others."""
    return F.embedding(rows.source, torch.cat([own, blank]))


def _last(layer: Any, tokens: Tensor) -> Tensor:
    """Runs the last block of the tower for the class token: (R, 1 + N, d) to (R, d)."""
    attention, normed = layer.self_attn, layer.layer_norm1(tokens)
    key, value = attention.k_proj(normed), attention.v_proj(normed)
    return _class_token(layer, tokens[:, 0], normed[:, 0], key, value)


def _class_token(layer: Any, token: Tensor, normed: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Finishes a block for the class token: (R, d) to (R, d), given keys and values of all."""
    attention = layer.self_attn
    mixed = _mix(attention, attention.q_proj(normed)[:, None], key, value)[:, 0]
    token = token + attention.out_proj(mixed)
    return token + layer.mlp(layer.layer_norm2(token))


def _mix(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (R, Q, d) queries to (R, 1 + N, d) keys and values: (R, Q, d), before `out`."""
    query, key, value = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for part in (query, key, value)
    )
    mixed = F.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(2)
