"""What answers after training: a plain Mask2Former that finds objects without names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.prompting import ObjectMasks
from segtune.errors import SegtuneError
from segtune.systems.base import System, Targets, Words
from segtune.systems.segprompt.asking import cached_prompt, example_prompt, example_states, find
from segtune.systems.segprompt.files import LearnedPrompts, load_prompts
from segtune.types import Features, Geometry, MaskPrediction


@dataclass(frozen=True)
class FinderConfig:
    """There is nothing to choose."""


class ObjectFinder(System):
    """A Mask2Former whose masks are objects of one word; nothing is learned.

    The score of a mask is the probability of "object", for models with classes that of any class.
    """

    backbone: Mask2Former
    config: FinderConfig

    def __init__(
        self,
        backbone: Mask2Former,
        config: FinderConfig | None = None,
        *,
        name: str = "segprompt",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.config, self.backbone = name, config or FinderConfig(), backbone
        self.prompts = nn.Module()
        self.train(False)

    @property
    def stride(self) -> int:
        """32 pixels."""
        return self.backbone.patch_size

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, which is zero inside of the model."""
        return self.backbone.padding

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Returns the masks and scores of (B, 3, H, W) pixels 0..255."""
        found = self.backbone.propose(pixels)
        assert found.objectness is not None
        tensors = {"masks": found.mask_logits, "scores": found.objectness}
        return Features(tensors, (pixels.shape[2] // 4, pixels.shape[3] // 4))

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns all masks with their scores; the words are one word.

        Raises:
            SegtuneError: there are more words.
        """
        if len(words.embeds) != 1:
            raise SegtuneError(
                f"{self.backbone.name} cannot tell {len(words.embeds)} classes apart; {self.name} "
                'finds objects of one word, such as --vocab "object" (task=instance)'
            )
        masks, scores = features.tensors["masks"], features.tensors["scores"]
        return [
            MaskPrediction(geometry, mask_logits=mask, class_scores=score[:, None])
            for mask, score, geometry in zip(masks, scores, geometries, strict=True)
        ]

    @cached_property
    def learned_prompts(self) -> LearnedPrompts:
        """What stands beside the model.

        Raises:
            SegtuneError: nothing does.
        """
        folder = self.backbone.folder
        found = None if folder is None else load_prompts(folder)
        if found is None:
            raise SegtuneError(
                f"{self.backbone.name} has no prompts beside it; choose a model that was trained "
                "with SegPrompt, such as --model segprompt-tiny"
            )
        found.prompts.to(self.device)
        return found

    @torch.no_grad()
    def examples(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Returns (N, C): what the objects inside masks look like; see `FindsSimilar`."""
        _ = self.learned_prompts  # refused before anything is computed
        return example_states(self.backbone.decoder, self.backbone.memory(pixels), masks)

    @torch.no_grad()
    def similar(self, pixels: Tensor, examples: Tensor) -> ObjectMasks:
        """Returns the masks of objects such as the examples (S, C); see `FindsSimilar`."""
        decoder, prompts = self.backbone.decoder, self.learned_prompts.prompts
        prompt = example_prompt(decoder, prompts, examples)
        memory = self.backbone.memory(pixels)
        return find(decoder, memory, prompt, examples, classifier=prompts.class_linear)

    @torch.no_grad()
    def of_class(self, pixels: Tensor, name: str) -> ObjectMasks:
        """Returns the masks of objects of a class whose prompt is cached; see `FindsSimilar`."""
        decoder, prompts = self.backbone.decoder, self.learned_prompts.prompts
        row = self.learned_prompts.row(name)
        prompt, example = cached_prompt(decoder, prompts, row), prompts.cache.rows[row][None]
        memory = self.backbone.memory(pixels)
        return find(decoder, memory, prompt, example, classifier=prompts.class_linear)

    def check_class(self, name: str) -> None:
        """Raises `SegtuneError` for a class without a cached prompt; see `FindsSimilar`."""
        self.learned_prompts.row(name)

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Raises `SegtuneError`: it is trained by recipes."""
        raise SegtuneError(
            f"{self.name} has no prompts to fit; train a model with `segtune train "
            "recipes/segprompt/longtail.yaml`"
        )
