"""Two-stage segmentation: a network proposes masks, CLIP looks at each region, both are fused.

"Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP" (OVSeg), Liang et al., CVPR 2023;
with other choices of `OVSegConfig` it is SimBaseline (Xu et al., ECCV 2022), ZegFormer (Ding et
al., CVPR 2022), or the two frozen models as they come. Reading order: `predict` here, then
`regions`, `backbones.masked_clip`, `ops.fusion`, `ops.mask_labels`.

Unlike the released code, images with one mask or none work, and so do names of any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from segtune.backbones.base import Proposals
from segtune.backbones.two_stage.model import TwoStage
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
from segtune.systems.ovseg.config import APPROXIMATE, OVSEG, OVSegConfig
from segtune.systems.ovseg.loss import region_loss
from segtune.systems.ovseg.prompts import LearnedWords, MaskPrompts
from segtune.systems.ovseg.regions import Looked, RegionReader
from segtune.systems.ovseg.rows import RowReader, Rows
from segtune.types import Features, Geometry, MaskPrediction, SumAtResized


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
        self.rows = RowReader(backbone, config, self.prompts)
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

    def exact(self) -> PromptedTwoStage | None:
        """Returns the system that leaves no mask out and lets none share a pass; None if it is."""
        exact = replace(self.config, **{name: getattr(OVSEG, name) for name in APPROXIMATE})
        if exact == self.config:
            return None
        twin = PromptedTwoStage(self.backbone, exact, name=self.name)
        twin.load_learned(self.learned())
        return twin

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
        """Returns masks with fused class scores, one prediction per image.

        With `masks="best"` only masks stay that are the best of all for some class, and pixels
        outside of them have no class. The released demo also adds the word "others" where only one
        class is asked for; here that is a negative of the vocabulary.
        """
        scores = self(features, words, geometries)
        best_only = self.config.masks == "best"
        if best_only and scores.shape[1]:
            is_best = torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
            scores = scores * is_best.any(2, keepdim=True)
        shift = None
        if self.config.gamma and (seen := self.rows.seen(words)) is not None:
            shift = self.config.gamma * seen
        rule = SumAtResized(self.config.threshold if best_only else None, shift)
        return [
            MaskPrediction(geometry, mask_logits=logits, class_scores=each, decision=rule)
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
        p = None if class_logits is None else proposal_probs(class_logits)
        if self.config.scores == "proposals":
            if p is None:
                raise SegtuneError(
                    f"{self.backbone.proposals.name} knows no words; use scores=both or scores=clip"
                )
            return p
        sure = torch.ones(len(mask_logits), device=mask_logits.device)
        importance = sure
        if p is not None:
            sure, importance = p.sum(1), p.amax(1)
        elif objectness is not None:
            sure = importance = objectness
        if self.config.weight == 0 or self.config.scores == "clip":
            importance = torch.ones_like(sure)
        looked = self.reader.look(
            pixels,
            mask_logits,
            geometry,
            prompts=self.mask_prompts,
            objectness=sure,
            importance=importance ** (1 - self.config.weight),
        )
        scores = self._fused(class_logits, objectness, looked, rows)
        return scores.masked_fill(looked.is_dropped[:, None], 0.0)

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
