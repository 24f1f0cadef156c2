"""Prompt files that segtune 0.1.0 wrote load, and answer as they did."""

from pathlib import Path

import numpy as np
import pytest

import segtune
from segtune.types import Vocabulary

FILES = Path(__file__).parent / "data_files" / "old_prompts"


@pytest.fixture(scope="module")
def scene():
    return segtune.open_dataset("synthetic:base?size=96", split="test")[3]


@pytest.fixture(scope="module")
def words():
    names = segtune.open_dataset("synthetic:base").vocabulary.names
    return Vocabulary.of(*sorted(set(names))[:60])


@pytest.mark.parametrize("name", ["ssprompt", "lpm", "ovseg"])
def test_old_prompt_files_answer_as_they_did(name, scene, words):
    prompts = segtune.Prompts.load(FILES / f"{name}.safetensors")
    assert prompts.system == name
    model = segtune.load(prompts.model)
    answer = model.segment(scene.pixels(), words, prompts=prompts).semantic
    expected = np.load(FILES / f"{name}.npz")["semantic"]
    assert answer.shape == expected.shape
    # Equal to the bit where the arrays were written; another processor may round a tie elsewhere.
    assert (answer == expected).mean() > 0.999
