"""Two frozen models as one: a network that proposes masks, and a CLIP that names them.

OVSeg (Liang et al., CVPR 2023), SimBaseline (Xu et al., ECCV 2022) and ZegFormer (Ding et al., CVPR
2022) share this skeleton; `systems.ovseg` says how they cut regions out and fuse the two opinions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from segtune.backbones.base import Proposals, fingerprint_of
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.two_stage.proposals import ProposalModel
from segtune.backbones.two_stage.spec import Recipe
from segtune.errors import WeightsError

TEMPLATES: Mapping[Recipe, str] = {
    "ovseg": "vild_14",
    "simbaseline": "vild_14",
    "zegformer": "zegformer_single",
}
"""The sentences around class names with which each was published."""
DENSE_SIZE = 640
"""Shorter side at which the published models look at images (512 for those on ResNet-101)."""


class NamingProposals(ProposalModel, Protocol):
    """Proposals whose queries live in the space of words; what `query_embeds` says they do."""

    def class_logits(self, query_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Returns (..., K + 1) logits of queries (..., k) with words (K, k), "no object" last."""
        ...


class TwoStage(nn.Module):
    """A frozen proposal network and a frozen CLIP.

    Args:
        proposals: where masks come from; may know words (`NamingProposals`) or not.
        clip: names regions and encodes words; may come with mask prompts for blank patches.
        name: of the pair; None joins the two names, which is what a user types to get it.
        recipe: the system whose settings the pair answers with.
        word_prompts: that came with the weights: "prefix" and "suffix", (P, D) word vectors.
        dense_size: shorter side of an image in pixels.
        templates: sentences around class names; None takes those of the recipe.
        settings: options of `systems.ovseg` in which the weights differ from their recipe.

    Raises:
        WeightsError: the queries of the proposals and the CLIP do not share a space.
    """

    kind: ClassVar[str] = "two-stage"
    uses_windows: ClassVar[bool] = False
    background_word: ClassVar[str | None] = None

    def __init__(
        self,
        proposals: ProposalModel,
        clip: ClipVit,
        *,
        name: str | None = None,
        recipe: Recipe = "ovseg",
        word_prompts: Mapping[str, Tensor] | None = None,
        dense_size: int | None = None,
        templates: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if recipe not in get_args(Recipe):
            raise WeightsError(f"recipe {recipe!r}; expected {', '.join(get_args(Recipe))}")
        width = getattr(proposals, "joint_width", clip.joint_width)
        if width != clip.joint_width:
            raise WeightsError(
                f"{proposals.name} was trained for words of width {width} but those of "
                f"{clip.name} are {clip.joint_width} wide; pair it with the CLIP it was trained "
                "with"
            )
        self.proposals, self.clip = proposals, clip
        self.name = name or f"{proposals.name}+{clip.name}"
        self.recipe: Recipe = recipe
        self.templates = templates or TEMPLATES[recipe]
        self.settings = dict(settings or {})
        self.dense_size = dense_size or getattr(proposals, "dense_size", None) or DENSE_SIZE
        self.joint_width = clip.joint_width
        self.patch_size = proposals.stride
        self.word_prompts = nn.ParameterDict(dict(word_prompts or {})).requires_grad_(False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> TwoStage:
        """Stays in evaluation mode: frozen means frozen."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.clip.device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of both models and of the prompts that came with them."""
        own: dict[str, Tensor] = dict(self.word_prompts)
        if self.clip.mask_prompts is not None:
            own["mask_prompts"] = self.clip.mask_prompts
        parts = (self.proposals.fingerprint, self.clip.fingerprint, fingerprint_of(own))
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    @property
    def prompt_fingerprint(self) -> str:
        """That of the CLIP: mask prompts and learned words never see the proposals."""
        return self.clip.fingerprint

    @property
    def region_clip(self) -> ClipVit:
        """The CLIP that names regions."""
        return self.clip

    def class_logits(self, found: Proposals, text_embeds: Tensor) -> Tensor | None:
        """Returns what the proposals think of the words, None where they know none.

        Args:
            found: with (B, Q, k) query embeddings.
            text_embeds: (K, k), unit length.

        Returns:
            (B, Q, K + 1), unbounded, "no object" last.
        """
        if found.query_embeds is None:
            return None
        naming = cast(NamingProposals, self.proposals)
        return naming.class_logits(found.query_embeds, text_embeds)

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns token ids (M, longest), int64; see `ClipVit.tokenize`."""
        return self.clip.tokenize(sentences)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (M, k) text embeddings, not normalised; see `ClipVit.encode_text`."""
        return self.clip.encode_text(tokens)
