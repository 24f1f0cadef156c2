"""A random SEEM that reads words with the tokenizer of the bundled CLIP, and a batch for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from segtune.backbones.hub import load_tokenizer
from segtune.backbones.seem import TINY, Seem, random_seem
from segtune.segmenter import Segmenter
from segtune.systems.base import Words
from segtune.types import Geometry, Resolution, Vocabulary
from segtune.zoo.cards import CARDS

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
