"""What a frozen model can do for the rooms above it: one small protocol for each capability.

Every model is a `FrozenModel`. What else it can do is asked by `isinstance`, never by its kind:
`ReadsWords`, `Promptable`, `Proposes`, and `NamesRegions` beside the CLIP that it speaks of, in
`clip/masked.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from segtune.backbones.prompting import Looked


@runtime_checkable
class FrozenModel(Protocol):
    """A frozen model, whatever it can do.

    Attributes:
        kind: architecture family, such as "clip-vit"; decides which systems run on it.
        uses_windows: looks at an image through square windows; otherwise at the whole of it.
        name, fingerprint: of the weights.
        dense_size: shorter side of an image in pixels for dense prediction.
        patch_size: both sides of an input are multiples of it.
        device: where it runs.
    """

    kind: ClassVar[str]
    uses_windows: ClassVar[bool]
    name: str
    dense_size: int
    patch_size: int

    @property
    def fingerprint(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


@runtime_checkable
class ReadsWords(Protocol):
    """A model with a text side.

    Attributes:
        joint_width: k, of the space that words share with patches or masks.
        background_word: what "none of the words" is called; None where the model has no such word.
    """

    background_word: ClassVar[str | None]
    joint_width: int

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns (N, T) int64 token ids."""
        ...

    def encode_text(self, tokens: Tensor, /) -> Tensor:
        """Returns (N, k) text features."""
        ...


class FrozenReader(FrozenModel, ReadsWords, Protocol):
    """A frozen model with a text side."""


@runtime_checkable
class Promptable(Protocol):
    """A model that answers points and boxes."""

    def look(self, pixels: np.ndarray, short_side: int) -> Looked:
        """Returns what the model sees of an image, to be asked any number of times.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            short_side: length that the shorter side is resized to; a model may have its own size.
        """
        ...


@dataclass(frozen=True)
class Proposals:
    """Masks of a batch of images, over the model input, padding included.

    Attributes:
        mask_logits: (B, Q, h, w), unbounded, usually at a quarter of the input.
        query_embeds: (B, Q, k), not normalised, in the joint image-text space; None for sources
            that know no words.
        objectness: (B, Q), 0..1, how sure the source is that a mask is something; None where it
            does not say.
    """

    mask_logits: Tensor
    query_embeds: Tensor | None = None
    objectness: Tensor | None = None

    def __post_init__(self) -> None:
        expected = tuple(self.mask_logits.shape[:2])
        for name in ("query_embeds", "objectness"):
            value: Tensor | None = getattr(self, name)
            if value is not None and tuple(value.shape[:2]) != expected:
                raise ValueError(
                    f"{name} is {tuple(value.shape)} but there are {expected} masks (images, masks)"
                )


@runtime_checkable
class Proposes(Protocol):
    """A model that gives masks without names."""

    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB, not normalised."""
        ...


@runtime_checkable
class PoolsRegions(Protocol):
    """A model whose CLIP names a region by the mean of its features inside a mask (FC-CLIP).

    Attributes:
        temperature: the factor between cosines and logits.
    """

    @property
    def temperature(self) -> float: ...

    def region_embeds(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Returns (N, k), unit length.

        Args:
            pixels: (3, H, W), 0..255 RGB, any size.
            masks: (N, H, W) bool, with a pixel each.
        """
        ...


def prompt_fingerprint(model: FrozenModel) -> str:
    """Returns the fingerprint in prompt files: of the part of a model that prompts belong to.

    Prompts of a two-stage pair belong to its CLIP, and so fit any proposals in front of it.
    """
    own: str = getattr(model, "prompt_fingerprint", "")
    return own or model.fingerprint


def fingerprint_of(state: Mapping[str, Tensor]) -> str:
    """Returns 16 hex digits of weights by name; the same weights on any device give the same."""
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
