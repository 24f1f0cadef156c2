"""A random SEEM that reads words with the tokenizer of the bundled CLIP, and a batch for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segtune.backbones.cards import CARDS
from segtune.backbones.seem.model import TINY, Seem, random_seem
from segtune.ops.mask_targets import targets_from_semantic
from segtune.predict.segmenter import Segmenter
from segtune.storage.weights import load_tokenizer
from segtune.systems import build_system
from segtune.systems.base import System, Targets, Words
from segtune.types import (
    Geometry,
    MaskPrediction,
    Resolution,
    Segment,
    Segmentation,
    Vocabulary,
)

Answer = Callable[[Words], list[MaskPrediction]]

FIT = ("red star", "green grass", "blue square")
"""The classes of the fit in these tests."""
OTHERS = ("gray road", "yellow ring")
"""Words outside of it."""


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors are slower, not faster, on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def seem() -> Seem:
    """A random SEEM with six queries; frozen, so that all tests can share it."""
    return make_seem()


def make_seem(*, seed: int = 0, **sizes: object) -> Seem:
    """Returns a random SEEM with the bundled tokenizer; `sizes` change its config."""
    tokenizer = load_tokenizer(CARDS["clip-vit-tiny"].path())
    text = replace(TINY.text, vocab_size=len(tokenizer))
    seem = random_seem(replace(TINY, text=text, **sizes), seed=seed)
    seem.tokenizer = tokenizer
    return seem


@pytest.fixture(scope="session")
def model(seem: Seem) -> Segmenter:
    """A segmenter around `seem` that looks at whole images with a short side of 64."""
    return Segmenter(seem, templates="single", resolution=Resolution(64, None, 64))


@pytest.fixture(scope="session")
def words(model: Segmenter) -> Words:
    """The words of the fit."""
    return model.words(Vocabulary.of(*FIT))


@pytest.fixture(scope="session")
def pixels() -> Tensor:
    """Two images (2, 3, 64, 96), 0..255."""
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255


@pytest.fixture(scope="session")
def geometries() -> list[Geometry]:
    """Those of `pixels`."""
    return [Geometry((64, 96), (64, 96), (64, 96))] * 2


@pytest.fixture
def zero_shot(seem: Seem, pixels: Tensor, geometries: list[Geometry]) -> Answer:
    """Answers of the model without prompts to `pixels`, as a function of the words."""
    system = build_system("seem", seem)
    return lambda words: answers(system, pixels, words, geometries)


LEARNING: dict[str, dict[str, Any]] = {
    "ssprompt": {},
    "spaprompt": {},
    "semprompt": {},
    "coop": {"context_tokens": 4},
    "locn": {},
    "vspl": {"point_grid": 2},
}
"""Every preset that learns something, at a small size."""


def build(
    seem: Seem, name: str, words: Words | None = None, *, seed: int = 0, **options: Any
) -> Any:
    """Returns a system for the classes `FIT`, started where there are words."""
    system = build_system(name, seem, {"classes": FIT, **LEARNING[name], **options}, seed=seed)
    if words is not None:
        system.start(words, seed=seed)
    return system


def answers(
    system: System, pixels: Tensor, words: Words, geometries: list[Geometry]
) -> list[MaskPrediction]:
    """Returns the predictions for a batch of images."""
    with torch.inference_mode():
        return system.predict(system.encode(pixels), words, geometries)


def same(first: list[MaskPrediction], second: list[MaskPrediction]) -> bool:
    """Whether two lists of predictions of one group of queries are equal bit for bit."""
    return all(
        torch.equal(a.mask_logits, b.mask_logits)
        and torch.equal(a.class_logits, b.class_logits)
        and a.mask_rule.answers is None
        and b.mask_rule.answers is None
        for a, b in zip(first, second, strict=True)
    )


def same_result(one: Segmentation, two: Segmentation) -> bool:
    """Whether two results have the same label map and the same segments."""
    maps = one.semantic, two.semantic
    return (
        (maps[0] is maps[1] or np.array_equal(*maps))
        and len(one.segments) == len(two.segments)
        and all(map(same_segment, one.segments, two.segments))
    )


def same_segment(one: Segment, two: Segment) -> bool:
    """Whether two segments are equal, scores bit for bit."""
    values = (one.class_id, one.score, one.box_px) == (two.class_id, two.score, two.box_px)
    return values and np.array_equal(one.mask, two.mask)


def targets_for(num_classes: int) -> Targets:
    """Returns block-wise labels of two images of 64 x 96, some unlabelled, with their masks."""
    generator = torch.Generator().manual_seed(3)
    blocks = torch.randint(-1, num_classes, (2, 4, 6), generator=generator)
    labels = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    return Targets(labels, targets_from_semantic(labels))


def shaken(module: torch.nn.Module, *, by: float = 0.3, seed: int = 7) -> None:
    """Moves every learned number, so that prompts differ from where they started."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))


def scores(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Returns (B, K, h, w): class probability times mask probability, summed over queries."""
    class_probs = class_logits.softmax(-1)[..., :-1]
    return torch.einsum("bqk,bqhw->bkhw", class_probs, mask_logits.sigmoid())
