"""What every frozen model offers to the rooms above it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor


class FrozenModel(Protocol):
    """A frozen model with a text side.

    Attributes:
        kind: architecture family, such as "clip-vit"; decides which systems run on it.
        uses_windows: looks at an image through square windows; otherwise at the whole of it.
        background_word: what "none of the words" is called; None where the model has no such word.
        name, fingerprint: of the weights.
        joint_width: k, of the space that words share with patches or masks.
        dense_size: shorter side of an image in pixels for dense prediction.
        patch_size: both sides of an input are multiples of it.
        device: where it runs.
    """

    kind: ClassVar[str]
    uses_windows: ClassVar[bool]
    background_word: ClassVar[str | None]
    name: str
    joint_width: int
    dense_size: int
    patch_size: int

    @property
    def fingerprint(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns (N, T) int64 token ids."""
        ...

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (N, k) text features."""
        ...

    def parameters(self) -> Any: ...


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
