"""The words of a two-stage system: one row per class for the queries, and one for the regions.

They are the same unless regions have sentences of their own (ZegFormer), or words were learned
(SimBaseline).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtune.backbones.two_stage.model import TwoStage
from segtune.errors import SegtuneError
from segtune.systems.base import Words
from segtune.systems.ovseg.config import OVSegConfig
from segtune.systems.ovseg.prompts import LearnedWords, learned_word_embeds
from segtune.types import Vocabulary
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


class RowReader:
    """Makes the rows of words; the last ones are kept while neither words nor prompts change.

    Args:
        backbone: whose CLIP reads names, and which may have come with learned words.
        config: sentences, and whose rows have learned words.
        prompts: what is being learned.
    """

    def __init__(self, backbone: TwoStage, config: OVSegConfig, prompts: nn.Module) -> None:
        self.backbone, self.config, self.prompts = backbone, config, prompts
        self._last: tuple[Words, tuple[int, ...], Rows] | None = None

    def __call__(self, words: Words) -> Rows:
        """Returns the rows; gradients reach learned words.

        Raises:
            SegtuneError: names are read anew, and `words` does not tell them.
        """
        if isinstance(self.prompts, LearnedWords) and torch.is_grad_enabled():
            return self._make(words)
        versions = tuple(parameter._version for parameter in self.prompts.parameters())
        last = self._last  # read once: another thread may put its own there
        if last is not None:
            same_words, same_versions, rows = last
            usable = not rows.regions.is_inference() or torch.is_inference_mode_enabled()
            if same_words is words and same_versions == versions and usable:
                return rows
        rows = self._make(words)
        self._last = (words, versions, rows)
        return rows

    def _make(self, words: Words) -> Rows:
        given, seen = words.embeds, self.seen(words)
        learned = self._learned(words)
        if learned is not None:
            return Rows(learned if self.config.words_for == "both" else given, learned, seen)
        if not self.config.clip_templates:
            return Rows(given, given, seen)
        vocabulary = words.vocabulary or Vocabulary.of(*_first_names(words))
        templates = read_templates(self.config.clip_templates)
        return Rows(given, embed_vocabulary(self.backbone, vocabulary, templates), seen)

    def _learned(self, words: Words) -> Tensor | None:
        """Returns (K, k) rows with words that were learned here or came with the weights."""
        clip, came_with = self.backbone.clip, dict(self.backbone.word_prompts)
        if isinstance(self.prompts, LearnedWords):
            return self.prompts(clip, _names(words))
        if came_with:
            return learned_word_embeds(clip, _names(words), **came_with)
        return None

    def seen(self, words: Words) -> Tensor | None:
        """Returns (K,) bool, the classes tagged "seen"; None where they play no part."""
        if self.config.seen == "ignored" or words.vocabulary is None:
            return None
        ids = words.vocabulary.ids_in("seen")
        if not ids:
            return None
        seen = torch.zeros(len(words.embeds), dtype=torch.bool, device=words.embeds.device)
        seen[list(ids)] = True
        return seen


def _names(words: Words) -> list[tuple[str, ...]]:
    """Returns name and synonyms of the K classes, negatives included."""
    if words.vocabulary is None:
        return [(name,) for name in _first_names(words)]
    negatives = [(name,) for name in words.vocabulary.negatives]
    return [concept.names for concept in words.vocabulary] + negatives


def _first_names(words: Words) -> tuple[str, ...]:
    if len(words.names) != len(words.embeds):
        raise SegtuneError(
            "this system embeds class names in its own way and so needs them; pass "
            "Words(..., names=...)"
        )
    return words.names
