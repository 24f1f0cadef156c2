"""Two-stage segmentation: a network proposes masks, CLIP looks at each region, both are fused.

"Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP" (OVSeg), Liang et al., CVPR 2023;
with other choices of `OVSegConfig` it is SimBaseline (Xu et al., ECCV 2022), ZegFormer (Ding et
al., CVPR 2022), or the two frozen models as they come. Reading order: `predict` here, then
`regions`, `backbones.masked_clip`, `ops.fusion`, `ops.mask_labels`.

Unlike the released code, images with one mask or none work, and so do names of any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtune.backbones.proposals import Proposals
from segtune.backbones.two_stage import TwoStage
from segtune.errors import SegtuneError
from segtune.ops.fusion import (
    SCALE,
    clip_probs,
    fuse_objectness,
    fuse_ovseg,
    fuse_simbaseline,
    fuse_zegformer,
    proposal_probs,
)
from segtune.systems.base import System, Targets, Words
from segtune.systems.ovseg.config import OVSegConfig
from segtune.systems.ovseg.loss import region_loss
from segtune.systems.ovseg.prompts import LearnedWords, MaskPrompts, learned_word_embeds
from segtune.systems.ovseg.regions import Looked, RegionReader
from segtune.types import Features, Geometry, MaskPrediction, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates


@dataclass(frozen=True)
class Rows:
    """The words of a forward pass, as both stages are compared with them.

    Attributes:
        queries: (K, k), unit length, for the queries of the proposal network.
        regions: (K, k), unit length, for what CLIP sees.
        seen: (K,) bool, the classes that the proposal network was trained on; None where that
            plays no part.
    """

    queries: Tensor
    regions: Tensor
    seen: Tensor | None


class PromptedTwoStage(System):
    """Frozen proposals and a frozen CLIP, with learned mask prompts, learned words, or neither.

    Args:
        backbone: the pair.
        config: which system; see `segtune.systems.ovseg.config`.
        name: registry name of the preset, for tables and files.
        seed: of the initial prompts.
    """

    backbone: TwoStage
    config: OVSegConfig

    def __init__(
        self, backbone: TwoStage, config: OVSegConfig, *, name: str = "ovseg", seed: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.backbone = backbone
        clip = backbone.clip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.prompts: nn.Module = nn.Module()
            if config.learns == "mask_prompts":
                self.prompts = MaskPrompts(config, clip)
            elif config.learns == "words":
                self.prompts = LearnedWords(config, clip, dict(backbone.word_prompts))
        self.prompts.to(backbone.device)
        self.reader = RegionReader(clip, config)
        self._rows: tuple[Words, tuple[int, ...], Rows] | None = None
        self.train(False)

    @property
    def stride(self) -> int:
        """That of the proposal network."""
        return self.backbone.patch_size

    @property
    def padding(self) -> tuple[float, float, float]:
        """That of the proposal network."""
        return self.backbone.proposals.padding

    @property
    def mask_prompts(self) -> Tensor | None:
        """(D, N, d), the learned ones, else those that came with the CLIP; None keeps patches."""
        if self.config.blank_patches == "kept":
            return None
        if isinstance(self.prompts, MaskPrompts):
            return self.prompts.mask_prompts
        return self.backbone.clip.mask_prompts

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Returns the proposals for (B, 3, H, W) pixels 0..255, and the pixels.

        Regions are cut in `predict`, which knows where the padding is.
        """
        found = self.backbone.proposals.propose(pixels)
        tensors = {"pixels": pixels, "mask_logits": found.mask_logits}
        for name in ("query_embeds", "objectness"):
            value: Tensor | None = getattr(found, name)
            if value is not None:
                tensors[name] = value
        h, w = found.mask_logits.shape[-2:]
        return Features(tensors, (h, w))

    def encode_for_loss(self, pixels: Tensor) -> Features:
        """Returns the pixels alone: learning looks at annotated masks, not at proposals."""
        return Features({"pixels": pixels}, (pixels.shape[-2], pixels.shape[-1]))

    def forward(
        self, features: Features, words: Words, geometries: Sequence[Geometry] | None = None
    ) -> Tensor:
        """Returns class scores (B, Q, K), 0..1, negatives included; without padding by default."""
        pixels = features.tensors["pixels"]
        if geometries is None:
            size = (pixels.shape[-2], pixels.shape[-1])
            geometries = [Geometry(size, size, size)] * len(pixels)
        rows = self.rows(words)
        found = Proposals(
            features.tensors["mask_logits"],
            features.tensors.get("query_embeds"),
            features.tensors.get("objectness"),
        )
        class_logits = self.backbone.class_logits(found, rows.queries)
        scores = []
        for i, geometry in enumerate(geometries):
            logits = None if class_logits is None else class_logits[i]
            objectness = None if found.objectness is None else found.objectness[i]
            scores.append(
                self._scores(pixels[i], found.mask_logits[i], logits, objectness, rows, geometry)
            )
        return torch.stack(scores)

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns masks with fused class scores, one prediction per image."""
        scores = self(features, words, geometries)
        shift = None
        if self.config.gamma and (seen := self._seen(words)) is not None:
            shift = self.config.gamma * seen
        return [
            MaskPrediction(
                geometry,
                mask_logits=logits,
                class_scores=each,
                class_shift=shift,
                sum_at="resized",
            )
            for geometry, logits, each in zip(
                geometries, features.tensors["mask_logits"], scores, strict=True
            )
        ]

    def _scores(
        self,
        pixels: Tensor,
        mask_logits: Tensor,
        class_logits: Tensor | None,
        objectness: Tensor | None,
        rows: Rows,
        geometry: Geometry,
    ) -> Tensor:
        """Returns the class scores (Q, K) of one image."""
        config = self.config
        if config.scores == "proposals":
            if class_logits is None:
                raise SegtuneError(
                    f"{self.backbone.proposals.name} knows no words; use scores=both or scores=clip"
                )
            return proposal_probs(class_logits)
        looked = self.reader.look(
            pixels,
            mask_logits,
            geometry,
            prompts=self.mask_prompts,
            importance=self._importance(class_logits, objectness, len(mask_logits)),
            objectness=objectness,
        )
        scores = self._fused(class_logits, objectness, looked, rows)
        return scores.masked_fill(looked.is_dropped[:, None], 0.0)

    def _importance(
        self, class_logits: Tensor | None, objectness: Tensor | None, num_masks: int
    ) -> Tensor:
        """Returns (Q,), 0..1: the most that CLIP could make out of the score of a mask."""
        ones = torch.ones(num_masks, device=self.device)
        if self.config.weight == 0 or self.config.scores == "clip":
            return ones
        if class_logits is not None:
            return proposal_probs(class_logits).amax(1) ** (1 - self.config.weight)
        return ones if objectness is None else objectness ** (1 - self.config.weight)

    def _fused(
        self,
        class_logits: Tensor | None,
        objectness: Tensor | None,
        looked: Looked,
        rows: Rows,
    ) -> Tensor:
        """Returns both opinions as one, (Q, K), by the formula of the system."""
        config = self.config
        scale = self.backbone.clip.temperature if config.fusion == "zegformer" else SCALE
        clip_logits = scale * looked.embeds @ rows.regions.to(looked.embeds).T  # (R, K)
        weight = config.weight
        if config.fusion == "zegformer" and class_logits is not None:
            every = clip_logits.new_zeros(len(class_logits), clip_logits.shape[1])
            every[looked.valid] = clip_logits
            seen = rows.seen
            if config.scores == "clip":
                weight, seen = 1.0, None
            return fuse_zegformer(class_logits, every, weight=weight, seen=seen)
        if config.scores == "clip":
            return clip_probs(clip_logits, looked.valid, invalid=0.0)
        if class_logits is None:
            return fuse_objectness(objectness, clip_logits, looked.valid, weight=weight)
        if config.fusion == "simbaseline":
            return fuse_simbaseline(
                class_logits, clip_logits, looked.valid, weight=weight, seen=rows.seen
            )
        return fuse_ovseg(class_logits, clip_logits, looked.valid, weight=weight)

    # -- words ------------------------------------------------------------------------------------

    def rows(self, words: Words) -> Rows:
        """Returns the text rows of both stages; kept while neither words nor prompts change."""
        learning = isinstance(self.prompts, LearnedWords) and torch.is_grad_enabled()
        versions = tuple(parameter._version for parameter in self.prompts.parameters())
        if not learning and self._rows is not None:
            same_words, same_versions, rows = self._rows
            usable = not rows.regions.is_inference() or torch.is_inference_mode_enabled()
            if same_words is words and same_versions == versions and usable:
                return rows
        rows = self._make_rows(words)
        if not learning:
            self._rows = (words, versions, rows)
        return rows

    def _make_rows(self, words: Words) -> Rows:
        given, clip = words.embeds, self.backbone.clip
        queries = regions = given
        came_with = dict(self.backbone.word_prompts)
        if isinstance(self.prompts, LearnedWords):
            regions = self.prompts(clip, self._names(words))
        elif came_with:
            regions = learned_word_embeds(clip, self._names(words), **came_with)
        elif self.config.clip_templates:
            vocabulary = words.vocabulary or Vocabulary.of(*self._first_names(words))
            templates = read_templates(self.config.clip_templates)
            regions = embed_vocabulary(self.backbone, vocabulary, templates)
        if regions is not given and not self.config.clip_templates:
            queries = regions if self.config.words_for == "both" else given
        return Rows(queries, regions, self._seen(words))

    def _names(self, words: Words) -> list[tuple[str, ...]]:
        """Returns name and synonyms of the K classes, negatives included."""
        if words.vocabulary is None:
            return [(name,) for name in self._first_names(words)]
        negatives = [(name,) for name in words.vocabulary.negatives]
        return [concept.names for concept in words.vocabulary] + negatives

    def _first_names(self, words: Words) -> tuple[str, ...]:
        if len(words.names) != len(words.embeds):
            raise SegtuneError(
                f"{self.name} embeds class names in its own way and so needs them; pass "
                "Words(..., names=...)"
            )
        return words.names

    def _seen(self, words: Words) -> Tensor | None:
        """Returns (K,) bool, the classes tagged "seen"; None where they play no part."""
        if self.config.seen == "ignored" or words.vocabulary is None:
            return None
        ids = words.vocabulary.ids_in("seen")
        if not ids:
            return None
        seen = torch.zeros(len(words.embeds), dtype=torch.bool, device=words.embeds.device)
        seen[list(ids)] = True
        return seen

    # -- learning ---------------------------------------------------------------------------------

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns {"loss_ce"}: which class the annotated regions show, among all words.

        Raises:
            SegtuneError: the system learns nothing.
        """
        if self.config.learns == "nothing":
            raise SegtuneError(
                f"{self.name} learns nothing from a few images; choose --system ovseg (mask "
                "prompts) or --system simbaseline (words before the class name)"
            )
        return region_loss(
            self.reader,
            features.tensors["pixels"],
            targets.semantic,
            self.rows(words).regions,
            self.mask_prompts,
        )
