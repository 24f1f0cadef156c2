"""The training steps that `prompt_fit_cost.py` measures, each built the same way in any process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.seem.config import SeemConfig
from segtune.backbones.seem.model import TINY, Seem, random_seem
from segtune.backbones.seem.text import NORM_EPSILON, SeemText
from segtune.fewshot.views import EncodedViews, ViewConfig, Views, encode, rounded_up, same_size
from segtune.systems.base import Targets, Words
from segtune.systems.ssprompt.config import configure
from segtune.systems.ssprompt.model import PromptedSeem
from segtune.systems.ssprompt.text_prompts import ContextPrompt, NamePrompt
from segtune.types import Features, Sample, Vocabulary
from segtune.vocabulary.builtin import builtin


@dataclass(frozen=True)
class Recipe:
    """What one row runs.

    Attributes:
        system: preset of `segtune.systems.ssprompt`.
        is_full_length: the text encoder runs over its whole context, as published.
        cache: "features" is the pool of `segtune.fewshot.views`; "keys" adds keys and values of the
            decoder; "none" runs the image side in every step.
    """

    label: str
    system: str
    is_full_length: bool = False
    cache: Literal["none", "features", "keys"] = "none"


PLAIN = "coop_full"
RECIPES = {
    PLAIN: Recipe("CoOp, all 77 tokens (as published)", "coop", is_full_length=True),
    "locn_full": Recipe("LOCN, all 77 tokens (as published)", "locn", is_full_length=True),
    "coop_cut": Recipe("CoOp, truncated (ours)", "coop"),
    "locn_cut": Recipe("LOCN, truncated (ours)", "locn"),
    "ssprompt": Recipe("SSPrompt, no cache", "ssprompt"),
    "ssprompt_cached": Recipe("SSPrompt, cached", "ssprompt", cache="features"),
    "ssprompt_keys": Recipe("SSPrompt, cached keys/values", "ssprompt", cache="keys"),
    "semprompt": Recipe("SemPrompt, no cache", "semprompt"),
    "semprompt_cached": Recipe("SemPrompt, cached", "semprompt", cache="features"),
}


@dataclass(frozen=True)
class Sizes:
    """The model, (height, width) of the image, and how many classes of ADE20K-150."""

    model: SeemConfig
    image: tuple[int, int]
    classes: int


class WordTokenizer:
    """Stands in for CLIP's: a token per word or mark, two from nine letters on, and so forth."""

    def __init__(self, vocab_size: int) -> None:
        self.start, self.end = vocab_size - 2, vocab_size - 1

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        words = sentence.replace(".", " .").split()
        pieces = [word[i : i + 8] for word in words for i in range(0, len(word), 8)]
        ids = [crc32(piece.encode()) % self.start for piece in pieces]
        return {"input_ids": [self.start, *ids, self.end]}


class FullLengthText(SeemText):
    """Runs over its whole context whatever the sentences' length, as CoOp and LOCN do."""

    def encode_embeddings(self, embeds: Tensor, end: Tensor) -> Tensor:
        """See `SeemText.encode_embeddings`."""
        missing = self.config.context_length - embeds.shape[1]
        padding = self.token_embedding(torch.full((len(embeds), missing), self.end_id))
        hidden = self.hidden_states(torch.cat([embeds, padding], 1))
        features = hidden[torch.arange(len(end)), end] @ self.projection
        return features / (features.norm(dim=-1, keepdim=True) + NORM_EPSILON)


class WithKeys(PromptedSeem):
    """A prompted SEEM that stores the keys and values of its decoder with the features."""

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """See `PromptedSeem.encode`."""
        features = super().encode(pixels)
        memory = DecoderMemory.from_tensors(features.tensors)
        return replace(features, tensors=self.backbone.decoder.with_keys(memory).tensors())


class OneImage:
    """A dataset of one random image with random labels on squares of 16 pixels."""

    name, split = "random", "train"

    def __init__(self, sizes: Sizes, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        random = np.random.default_rng(0)
        height, width = sizes.image
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        coarse = random.integers(0, sizes.classes, (-(-height // 16), -(-width // 16)))
        labels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
        self._sample = Sample("0", image, labels.astype(np.int32))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return [self._sample][index]

    def sample_id(self, index: int) -> str:
        """Returns the name of the sample."""
        return self[index].id


@dataclass(frozen=True)
class Case:
    """A system ready to be trained.

    Attributes:
        batch: returns features and targets of the image, from the cache or by the frozen model.
        cache_bytes: what the cache holds for the image.
    """

    system: PromptedSeem
    words: Words
    batch: Callable[[], tuple[Features, Targets]]
    optimizer: torch.optim.Optimizer
    cache_bytes: int

    def gradients(self) -> dict[str, Tensor]:
        """Returns the gradient of every learned tensor."""
        named = self.system.prompts.named_parameters()
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}


def make_case(recipe: Recipe, sizes: Sizes) -> Case:
    """Returns the case of a recipe; model, words, image and prompts are the same in all."""
    seem = random_seem(sizes.model)
    seem.tokenizer = WordTokenizer(sizes.model.text.vocab_size)
    if recipe.is_full_length:
        seem.text = full_length(seem)
    vocabulary = Vocabulary(builtin("ade20k_150").concepts[: sizes.classes])
    names = vocabulary.names
    random = torch.Generator().manual_seed(1)
    text = F.normalize(torch.randn(len(names) + 1, seem.joint_width, generator=random), dim=-1)
    words = Words(text[:-1], names=names, background=text[-1])
    kind = WithKeys if recipe.cache == "keys" else PromptedSeem
    system = kind(seem, configure(recipe.system, {"classes": names}), name=recipe.system)
    system.start(words, seed=0)
    move_prompts(system)
    system.train()
    views = Views(
        OneImage(sizes, vocabulary),
        ViewConfig(min(sizes.image), None, scale=(1.0, 1.0), flip=False, distort=False),
        seed=0,
    )
    batch, cache_bytes = (cached if recipe.cache != "none" else uncached)(system, views)
    optimizer = torch.optim.SGD(system.parameter_groups(1e-3, 1e-4), momentum=0.9)
    return Case(system, words, batch, optimizer, cache_bytes)


def full_length(seem: Seem) -> FullLengthText:
    """Returns the text tower of a model as one that never cuts sentences."""
    text = FullLengthText(seem.config.text)
    text.load_state_dict(seem.text.state_dict())
    return text.eval().requires_grad_(False)


@torch.no_grad()
def move_prompts(system: PromptedSeem) -> None:
    """Moves every learned tensor off its start, where fusion weights have no gradient.

    Tensors of the same name move alike in every system.
    """
    for name, parameter in system.prompts.named_parameters():
        random = torch.Generator().manual_seed(crc32(name.encode()))
        parameter += 0.02 * torch.randn(parameter.shape, generator=random)


def cached(
    system: PromptedSeem, views: Views
) -> tuple[Callable[[], tuple[Features, Targets]], int]:
    """Returns the batch function of the feature cache, and what the cache holds in bytes."""
    pool = EncodedViews(system, views, num_views=1, progress=False)

    def batch() -> tuple[Features, Targets]:
        features, labels, masks = pool.batch([(0, 0)])
        return features, Targets(labels, masks)

    tensors = batch()[0].tensors.values()
    return batch, sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def uncached(
    system: PromptedSeem, views: Views
) -> tuple[Callable[[], tuple[Features, Targets]], int]:
    """Returns the batch function that runs the frozen model, without gradients, every time."""
    view = views.view(0, 0)
    padded = same_size([view], rounded_up([view.labels.shape], system.stride), system.padding)
    targets = Targets(padded[0].labels[None], [padded[0].masks])
    return lambda: (encode(system, padded), targets), 0


def step(case: Case) -> float:
    """Takes one training step and returns its loss; the gradients stay."""
    case.optimizer.zero_grad(set_to_none=True)
    features, targets = case.batch()
    loss = torch.stack(list(case.system.loss(features, case.words, targets).values())).sum()
    loss.backward()
    case.optimizer.step()
    return loss.item()


def text_gradients(key: str, sizes: Sizes) -> dict[str, Tensor]:
    """Returns float64 gradients of CoOp or LOCN through the text encoder alone.

    In float32 the gradient of a shared context is a sum over classes that nearly cancel, so that
    rounding hides whether two formulations are the same.
    """
    model = replace(TINY, text=sizes.model.text)
    few = replace(sizes, model=model, classes=min(sizes.classes, 8))
    case = make_case(RECIPES[key], few)
    system = case.system.double()
    assert isinstance(system.prompts.semantic, ContextPrompt | NamePrompt)
    embeds = system.prompts.semantic(system.backbone)  # (K, k)
    random = torch.Generator().manual_seed(0)
    (embeds * torch.randn(embeds.shape, generator=random)).sum().backward()
    return case.gradients()
