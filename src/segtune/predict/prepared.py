"""A frozen model with what was made for it last: embeddings of words, systems with their prompts.

It holds no image, and both stores are bounded, so one model can serve for days; it can be shared by
threads. A system is found again by the content of its prompts, from whatever file they came.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.base import FrozenModel, ReadsWords, prompt_fingerprint
from segtune.backbones.prompting import Looked
from segtune.data.formats import read_vocabulary
from segtune.errors import SegtuneError
from segtune.predict.pixels import segment_pixels
from segtune.prompts import Prompts
from segtune.storage.recent import Recent
from segtune.systems import build_system, zero_shot_system
from segtune.systems.base import NamesMasks, System, Words
from segtune.types import Resolution, Segmentation, Task, TemplateSet, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.parse import VocabularySpec
from segtune.vocabulary.templates import TemplateSpec, read_templates

SYSTEMS_KEPT, WORDS_KEPT = 8, 16
"""How many systems and vocabularies a model remembers."""
_BUILDING = threading.Lock()
"""Systems draw their first numbers from torch's own generator: one at a time."""


class PreparedModel:
    """A frozen model, ready to be asked.

    Attributes:
        backbone: the frozen model.
        templates: sentences around class names, used where prompts bring none of their own. By
            default those that the model was published with, else "single".
        resolution: used where prompts bring none of their own.
    """

    def __init__(
        self,
        backbone: FrozenModel,
        *,
        templates: TemplateSpec | None = None,
        resolution: Resolution | None = None,
    ) -> None:
        self.backbone = backbone
        published = getattr(backbone, "templates", "single")
        self.templates = read_templates(published if templates is None else templates)
        if resolution is None:
            resolution = Resolution.of(backbone.dense_size)
            if not backbone.uses_windows:
                resolution = replace(resolution, crop=None)
        self.resolution = resolution
        self._systems: Recent[str, System] = Recent(SYSTEMS_KEPT)
        self._words: Recent[tuple[Vocabulary, TemplateSet], Words] = Recent(WORDS_KEPT)

    def words(self, vocabulary: Vocabulary, templates: TemplateSet | None = None) -> Words:
        """Returns the class embeddings of a vocabulary; the last ones are kept, all are on disk."""
        key = (vocabulary, templates or self.templates)
        return self._words.get(key, lambda: self._read(*key))

    def _read(self, vocabulary: Vocabulary, templates: TemplateSet) -> Words:
        backbone, names = self.backbone, (*vocabulary.names, *vocabulary.negatives)
        background: Tensor | None = None
        if not isinstance(backbone, ReadsWords):
            embeds = torch.empty(len(names), 0, device=backbone.device)
        else:
            embeds = embed_vocabulary(backbone, vocabulary, templates)
            if backbone.background_word:
                nothing = Vocabulary.of(backbone.background_word)
                background = embed_vocabulary(backbone, nothing, templates)[0]
        num_negatives = len(vocabulary.negatives)
        return Words(embeds, num_negatives, names, background, vocabulary, templates)

    def system_for(
        self, prompts: Prompts | None = None, system: System | str | None = None
    ) -> System:
        """Returns what answers: a system as it is or by name, that of prompts, or zero-training.

        Raises:
            SegtuneError: prompts are of another system than the one that is named.
            WeightsError: prompts were learned on other weights.
        """
        if isinstance(system, System):
            return system
        if prompts is None:
            name = system or zero_shot_system(self.backbone.kind)
            return self._systems.get(f"{name} as it comes", lambda: self._build(name, None))
        if system not in (None, prompts.system):
            raise SegtuneError(
                f"the prompts bring their system, {prompts.system}; leave system={system} out"
            )
        prompts.check_model(self.backbone.name, prompt_fingerprint(self.backbone))
        return self._systems.get(prompts.digest(), lambda: self._build(prompts.system, prompts))

    def _build(self, name: str, prompts: Prompts | None) -> System:
        with _BUILDING:
            system = build_system(name, self.backbone, prompts.options if prompts else None)
            if prompts is not None:
                system.load_learned(prompts.tensors)
        return system

    def mask_names(self, vocabulary: Vocabulary, prompts: Prompts | None) -> Tensor:
        """Returns the class embeddings (K + 1, k) that name the masks of clicks and boxes.

        Raises:
            SegtuneError: the model reads no words, or the system of the prompts names no masks.
        """
        if not isinstance(self.backbone, ReadsWords):
            raise SegtuneError(
                f"{self.backbone.name} reads no words to name masks by; leave them out"
            )
        system = self.system_for(prompts)
        if not isinstance(system, NamesMasks):
            raise SegtuneError(
                f"{system.name} does not name the masks of clicks and boxes; leave the words out"
            )
        return system.class_embeds(self.words(vocabulary, self.templates_of(prompts)))

    def answer(
        self,
        pixels: np.ndarray,
        vocabulary: Vocabulary,
        *,
        prompts: Prompts | None,
        system: System | str | None,
        resolution: Resolution | None,
        task: Task,
        min_score: float | None,
        seen_ids: Sequence[int] = (),
        seen_shift: float = 0.1,
        looked: Looked | None = None,
    ) -> Segmentation:
        """Returns the segmentation of (H, W, 3) uint8 pixels; arguments as `Segmenter.segment`.

        Args:
            looked: what the model saw of the whole image at this resolution, where it did.
        """
        answering = self.system_for(prompts, system)
        words = self.words(vocabulary, self.templates_of(prompts))
        resolution = resolution or self.resolution_of(prompts)
        result = segment_pixels(
            answering,
            pixels,
            words,
            vocabulary,
            resolution=resolution,
            seen_ids=seen_ids,
            seen_shift=seen_shift,
            task=task,
            min_score=min_score,
            looked=looked,
        )
        source = {
            "model": self.backbone.name,
            "fingerprint": self.backbone.fingerprint,
            "system": answering.name,
            "task": task,
            "resolution": asdict(resolution),
        }
        return replace(result, source=source)

    def templates_of(self, prompts: Prompts | None) -> TemplateSet:
        """Returns the sentences of the prompts, else of the model."""
        return self.templates if prompts is None else prompts.templates

    def resolution_of(self, prompts: Prompts | None) -> Resolution:
        """Returns the resolution of the prompts, else of the model."""
        return self.resolution if prompts is None else prompts.resolution


def words_asked_for(
    vocabulary: VocabularySpec | None, prompts: Prompts | None
) -> Vocabulary | None:
    """Returns the words that are given, else those of the prompts, else None."""
    if vocabulary is not None:
        return read_vocabulary(vocabulary)
    return None if prompts is None else prompts.vocabulary
