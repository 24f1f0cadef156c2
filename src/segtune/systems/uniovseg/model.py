"""Uni-OVSeg as a system: masks of a grid of points, each named by what CLIP sees inside it.

"Open-Vocabulary Segmentation with Unpaired Mask-Text Supervision" (Wang et al. 2024). The masks
come from the frozen model; the adapter changes the features that are pooled under them. Semantic,
panoptic and instance results follow FC-CLIP. Reading order: `encode` and `predict` here, then
`adapter`, `classifier`, `backbones.uniovseg.everything`.

Shape letters: B images, Q masks, C channels of the last map, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.prompting import Looked
from segtune.backbones.uniovseg.everything import EverythingConfig, find_everything
from segtune.backbones.uniovseg.look import LookedUniOvseg
from segtune.backbones.uniovseg.model import ABSENT, UniOvseg
from segtune.backbones.uniovseg.seen import Seen
from segtune.errors import SegtuneError
from segtune.ops.mask_targets import MaskTargets, targets_from_semantic
from segtune.ops.masks.pooling import small_ones_kept
from segtune.systems.base import System, Targets, Words
from segtune.systems.uniovseg.adapter import (
    FeatureAdapter,
    region_embeds,
    sees_anything,
    sources_of,
)
from segtune.systems.uniovseg.classifier import Rows, class_logits, class_probs, synonym_rows
from segtune.systems.uniovseg.config import UniOvsegSettings
from segtune.systems.uniovseg.prompts import fresh_prompts
from segtune.types import Features, Geometry, MaskPrediction


class AdaptedUniOvseg(System):
    """A frozen Uni-OVSeg whose regions are named, with a learned adapter or without.

    Args:
        backbone: the frozen model.
        config: which masks, which names, what is learned.
        name: registry name.
        seed: of a fresh adapter.
    """

    backbone: UniOvseg
    config: UniOvsegSettings

    def __init__(
        self,
        backbone: UniOvseg,
        config: UniOvsegSettings | None = None,
        *,
        name: str = "uniovseg",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.backbone = name, backbone
        self.config = config or UniOvsegSettings()
        self.prompts = fresh_prompts(backbone, self.config, seed=seed)
        self._last: tuple[Words, Rows] | None = None
        self.train(False)

    @property
    def stride(self) -> int:
        """That of the coarsest map."""
        return self.backbone.stride

    @property
    def padding(self) -> tuple[float, float, float]:
        """The grey of the model's canvas."""
        return self.backbone.padding

    @property
    def adapter(self) -> FeatureAdapter | None:
        """What is learned; None where nothing is."""
        return self.prompts if isinstance(self.prompts, FeatureAdapter) else None

    # -- an image ---------------------------------------------------------------------------

    def look(self, pixels: np.ndarray, short_side: int) -> LookedUniOvseg:
        """Returns what the model sees of (H, W, 3) uint8 pixels on a canvas of its own."""
        return self.backbone.look(pixels, short_side)

    def features_of(self, looked: Looked) -> Features:
        """Returns what `encode` gives, for an image on its canvas; the grid covers the picture."""
        assert isinstance(looked, LookedUniOvseg)
        return self._found(looked.seen, [looked.geometry.original_size])

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Returns masks and maps of (B, 3, H, W) pixels, 0..255; the grid covers the whole input.

        Images with fewer masks than others are filled up; "counts" (B,) says how many are real.
        """
        seen = self.backbone.see(pixels.to(self.device).float())
        return self._found(seen, [seen.size] * len(pixels))

    def encode_for_loss(self, pixels: Tensor) -> Features:
        """Returns the pixels alone: learning looks at annotated masks, not at proposals."""
        return Features({"pixels": pixels}, (pixels.shape[-2], pixels.shape[-1]))

    @torch.no_grad()
    def _found(self, seen: Seen, pictures: list[tuple[int, int]]) -> Features:
        config = self.config
        rules = EverythingConfig(
            (config.grid, config.grid),
            config.min_iou,
            config.max_iou,
            config.max_inside,
            config.min_stability,
            config.shrink,
        )
        found = find_everything(self.backbone, seen, pictures, rules)
        counts = torch.tensor([len(each.ious) for each in found])
        most = int(counts.max())
        masks = torch.stack(
            [
                F.pad(each.mask_logits, (0, 0, 0, 0, 0, most - len(each.ious)), value=ABSENT)
                for each in found
            ]
        )
        ious = torch.stack([F.pad(each.ious, (0, most - len(each.ious))) for each in found])
        tensors = {"mask_logits": masks, "ious": ious, "counts": counts}
        tensors["regions"] = small_ones_kept(masks, _coarsest(seen))
        tensors["pooled"] = self.backbone.regions(seen, tensors["regions"])
        if self.adapter is not None:
            for scale, (encoded, decoded) in enumerate(sources_of(seen)):
                tensors[f"encoded{scale}"], tensors[f"decoded{scale}"] = encoded, decoded
        return Features(tensors, (masks.shape[-2], masks.shape[-1]))

    # -- names ------------------------------------------------------------------------------

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns masks with class scores, one prediction per image.

        The score of a mask and a class is the probability of the class times the expected overlap
        of the mask.
        """
        tensors, rows = features.tensors, self.rows(words)
        predictions = []
        for i, geometry in enumerate(geometries):
            part = slice(int(tensors["counts"][i]))
            masks = tensors["mask_logits"][i, part]
            regions = tensors["regions"][i : i + 1, part]
            pooled = tensors["pooled"][i : i + 1, part]
            sources = [
                (tensors[f"encoded{scale}"][i : i + 1], tensors[f"decoded{scale}"][i : i + 1])
                for scale in range(4 if self.adapter else 0)
            ]
            probs = self._probs(pooled, regions, sources, rows)
            sure = tensors["ious"][i, part].clamp(0, 1) ** self.config.iou_power
            scores = probs**self.config.class_power * sure[:, None]
            predictions.append(MaskPrediction(geometry, mask_logits=masks, class_scores=scores))
        return predictions

    def _probs(
        self, pooled: Tensor, masks: Tensor, sources: Sequence[tuple[Tensor, Tensor]], rows: Rows
    ) -> Tensor:
        """Returns the class probabilities (Q, K) of the regions of one image."""
        clip, adapter = self.backbone.clip, self.adapter
        frozen = F.normalize(clip.project(pooled), dim=-1)
        adapted = frozen
        if adapter is not None:
            moved = pooled + adapter(adapter.reduced(sources), masks)
            adapted = F.normalize(adapter.project(clip.head, moved), dim=-1)
        return class_probs(
            adapted,
            frozen,
            rows,
            temperature=clip.temperature,
            frozen_share=self.config.frozen_share if adapter else 0.0,
        )[0]

    def name_logits(self, looked: Looked, mask_logits: Tensor, words: Words) -> Tensor:
        """Returns (P, K + 1): how much the masks of clicks and boxes show the words; then 0.

        Args:
            mask_logits: (P, h, w), unbounded, over the canvas.
        """
        assert isinstance(looked, LookedUniOvseg)
        if not len(mask_logits):
            return words.embeds.new_zeros(0, len(words.embeds) + 1)
        regions = small_ones_kept(mask_logits[None], _coarsest(looked.seen))
        embeds = region_embeds(self.backbone, looked.seen, regions, self.adapter)[0]
        logits = class_logits(embeds, self.rows(words), temperature=self.backbone.clip.temperature)
        return F.pad(logits, (0, 1))

    def rows(self, words: Words) -> Rows:
        """Returns one row per synonym where the names are known, else one per class."""
        last = self._last  # read once: another thread may put its own there
        if last is not None and last[0] is words:
            return last[1]
        vocabulary, templates = words.vocabulary, words.templates
        if vocabulary is None or templates is None or not any(c.synonyms for c in vocabulary):
            rows = Rows(words.embeds, (1,) * len(words.embeds))
        else:
            rows = synonym_rows(self.backbone, vocabulary, templates)
        self._last = words, rows
        return rows

    # -- learning from named masks ----------------------------------------------------------

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns {"loss_ce"}: which class the annotated masks show, among all words.

        The few-shot form of the authors' criterion. Stage 2 learns from captions instead
        (`segtune.trainers.uniovseg`).

        Raises:
            SegtuneError: the system learns nothing.
        """
        adapter = self.adapter
        if adapter is None:
            raise SegtuneError(
                f"{self.name} learns nothing from a few images; choose --system uniovseg"
            )
        with torch.no_grad():
            seen = self.backbone.see(features.tensors["pixels"].to(self.device).float())
        objects = targets.masks or targets_from_semantic(targets.semantic)
        masks, class_ids = _stacked(objects, self.device)
        if masks.shape[1]:
            masks = small_ones_kept(masks, _coarsest(seen))
            good = (class_ids >= 0) & sees_anything(seen, masks)
            embeds = region_embeds(self.backbone, seen, masks, adapter)[good]
            if len(embeds):
                rows, temperature = self.rows(words), self.backbone.clip.temperature
                logits = class_logits(embeds, rows, temperature=temperature)
                return {"loss_ce": F.cross_entropy(logits, class_ids[good])}
        return {"loss_ce": torch.stack([p.sum() * 0 for p in adapter.parameters()]).sum()}


def _coarsest(seen: Seen) -> tuple[int, int]:
    """Returns (h, w) of the map that regions are pooled from."""
    return seen.maps[-1].shape[-2], seen.maps[-1].shape[-1]


def _stacked(objects: Sequence[MaskTargets], device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns masks (B, N, H, W), 1 inside and -1 outside, and class ids (B, N), -1 for none."""
    most = max(len(each) for each in objects)
    masks = [F.pad(each.masks.float(), (0, 0, 0, 0, 0, most - len(each))) for each in objects]
    ids = [F.pad(each.class_ids, (0, most - len(each)), value=-1) for each in objects]
    return 2 * torch.stack(masks).to(device) - 1, torch.stack(ids).to(device)
