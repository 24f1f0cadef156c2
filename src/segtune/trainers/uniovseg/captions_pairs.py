"""Which masks of an image show which entities of its captions, by the frozen model alone.

Unpaired supervision: masks come from stage 1, words from the captions; nobody drew the one for the
other. The cheapest one-to-one assignment of equation 7 is believed (`systems.uniovseg.alignment`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.prompting import Looked
from segtune.backbones.uniovseg.look import LookedUniOvseg
from segtune.errors import DataError
from segtune.ops.masks.pooling import masks_at
from segtune.systems.uniovseg.adapter import region_embeds
from segtune.systems.uniovseg.alignment import entity_costs, match_entities
from segtune.systems.uniovseg.model import AdaptedUniOvseg
from segtune.trainers.uniovseg.captions_recipe import CaptionsRecipe
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.nouns.base import NounExtractor, extract_nouns
from segtune.vocabulary.templates import read_templates


@dataclass(frozen=True)
class Pairs:
    """What one image teaches.

    Attributes:
        mask_logits: (N, h, w), unbounded, over the canvas.
        text_embeds: (N, k), unit length, of the entity of each mask.
        num_entities: that its captions name.
    """

    mask_logits: Tensor
    text_embeds: Tensor
    num_entities: int


class PairFinder:
    """Finds the pairs of an image; a function of image, captions and recipe.

    Args:
        system: whose frozen model proposes and compares.
        extractor: of entities.
        recipe: thresholds.
    """

    def __init__(
        self, system: AdaptedUniOvseg, extractor: NounExtractor, recipe: CaptionsRecipe
    ) -> None:
        self.system, self.extractor, self.recipe = system, extractor, recipe
        self.templates = read_templates(recipe.templates)
        self._embeds: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, sample: Sample, looked: LookedUniOvseg) -> Pairs:
        """Returns the pairs of a sample with captions, on its canvas."""
        masks, words = self._masks(looked), self.entities(sample.captions)
        texts = self._texts(words)
        if not (len(masks) and len(words)):
            return Pairs(masks[:0], texts[:0], len(words))
        model, recipe = self.system.backbone, self.recipe
        pixels = sample.pixels()
        embeds = torch.stack([self._seen_at(size, pixels, masks) for size in recipe.sizes])
        costs = entity_costs(embeds, texts, temperature=model.clip.temperature, kind=recipe.cost)
        match = match_entities(
            costs, confidence=recipe.confidence, cosine=(embeds @ texts.T).mean(0)
        )
        rows, columns = match.query_ids.to(masks.device), match.target_ids.to(masks.device)
        return Pairs(masks[rows], texts[columns], len(words))

    def entities(self, captions: Sequence[str]) -> list[str]:
        """Returns what captions name, each once, in their order."""
        found = extract_nouns(self.extractor, captions, drop_generic=True)
        names = dict.fromkeys(noun.lemma for nouns in found for noun in nouns)
        return list(names)[: self.recipe.max_entities]

    def _masks(self, looked: Looked) -> Tensor:
        """Returns the proposals (N, h, w) that are large enough to be compared, best first."""
        assert isinstance(looked, LookedUniOvseg)
        masks = self.system.features_of(looked).tensors["mask_logits"][0]
        last = looked.seen.maps[-1]
        places = masks_at(masks[None], (last.shape[-2], last.shape[-1]))[0]
        share = (masks > 0).flatten(1).float().mean(1)
        good = places.flatten(1).any(1) & (share >= self.recipe.min_area)
        return masks[good][: self.recipe.max_masks]

    def _seen_at(self, size: int, pixels: np.ndarray, masks: Tensor) -> Tensor:
        """Returns the frozen embeddings (N, k) of masks on a canvas of a size."""
        looked = self.system.backbone.look(pixels, size)
        return region_embeds(self.system.backbone, looked.seen, masks[None])[0]

    def _texts(self, words: Sequence[str]) -> Tensor:
        """Returns (T, k); every phrase is read alone, so that no other one changes its numbers."""
        model = self.system.backbone
        for word in words:
            if word not in self._embeds:
                alone = Vocabulary.of(word)
                rows = embed_vocabulary(model, alone, self.templates, use_cache=False)
                self._embeds[word] = rows[0]
        if not words:
            return torch.zeros(0, model.joint_width, device=model.device)
        return torch.stack([self._embeds[word] for word in words])


def with_captions(sample: Sample) -> Sample:
    """Returns a sample, which must have a caption.

    Raises:
        DataError: it has none.
    """
    if not sample.captions:
        raise DataError(
            f"sample {sample.id!r} has no caption; stage 2 learns from data such as "
            'captions.jsonl with {"image": "photo.jpg", "captions": ["A dog.", ...]}'
        )
    return sample
