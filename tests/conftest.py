"""Shared fixtures: tiny random models, and a text cache that leaves the home folder alone."""

from __future__ import annotations

import os
import string

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


class LetterTokenizer:
    """One token per letter, so that random models read any word; 0 starts and 63 ends a text."""

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        letters = string.ascii_lowercase + string.digits + " .,-"
        ids = [1 + letters.index(c) if c in letters else 60 for c in sentence.lower()]
        return {"input_ids": [0, *ids, 63]}


@pytest.fixture
def tiny_clip():
    """A random CLIP of width 32 with two layers, patch 8, that reads letters."""
    from segtune.backbones.clip.random import random_clip_vit

    clip = random_clip_vit(layers=3, context=64, seed=1)
    clip.tokenizer = LetterTokenizer()
    clip.name = "tiny-clip"
    return clip


@pytest.fixture
def tiny_model(tiny_clip):
    """A segmenter around `tiny_clip` that looks at images with a short side of 32."""
    from segtune.predict.segmenter import Resolution, Segmenter

    return Segmenter(tiny_clip, templates="name", resolution=Resolution.of(32))


@pytest.fixture
def tiny_pair(tiny_clip):
    """A random MaskFormer of seven queries with `tiny_clip` behind it."""
    from segtune.backbones.two_stage.random import random_two_stage

    return random_two_stage(tiny_clip)
