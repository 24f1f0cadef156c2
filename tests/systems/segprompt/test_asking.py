"""Asking by examples and by cached prompts, on random weights."""

import pytest
import torch

from segtune.backbones.mask2former.random import random_mask2former
from segtune.systems.segprompt.asking import (
    cached_prompt,
    example_prompt,
    example_states,
    find,
)
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.model import SegPrompt
from segtune.systems.segprompt.prompts import SegPrompts

MODEL = random_mask2former()


def prompts_of(**changes) -> SegPrompts:
    torch.manual_seed(0)
    prompts = SegPrompts(
        SegPromptConfig(**{"num_prompts": 2, "repeat": 2, **changes}), num_classes=3, width=32
    )
    prompts.cache.rows.normal_()
    return prompts


@pytest.fixture(scope="module")
def memory():
    torch.manual_seed(0)
    return MODEL.memory(torch.rand(1, 3, 64, 64) * 255)


@pytest.fixture(scope="module")
def masks() -> torch.Tensor:
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, :32, :32] = masks[1, 40:, 30:60] = True
    return masks


def test_states_are_those_of_training_with_one_example_and_empty_slots(memory, masks):
    states = example_states(MODEL.decoder, memory, masks)
    prompts = prompts_of(num_prompts=0)
    none = torch.zeros(1, 0, dtype=torch.int64)
    for mask, state in zip(masks, states, strict=True):
        slots = torch.zeros(1, 5, 64, 64)
        slots[0, 0] = mask
        taught = SegPrompt(MODEL.decoder, prompts)(memory, none, none[0], slots)
        torch.testing.assert_close(taught.example_states[0, 0], state)


def test_an_example_is_seen_through_its_mask_alone(memory, masks):
    one = example_states(MODEL.decoder, memory, masks[:1])
    both = example_states(MODEL.decoder, memory, masks)
    torch.testing.assert_close(one[0], both[0])
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_a_cached_prompt_is_row_and_class_embedding_on_every_learned_query():
    prompts = prompts_of()
    content, position = cached_prompt(MODEL.decoder, prompts, 1)
    row = prompts.cache.rows[1]
    learned = MODEL.decoder
    torch.testing.assert_close(
        content, row + prompts.class_content.weight[1] + learned.query_content
    )
    torch.testing.assert_close(
        position, row + prompts.class_position.weight[1] + learned.query_position
    )


@pytest.mark.parametrize(("changes", "count"), [({"repeat": 1}, 1), ({"own_repeats": True}, 2)])
def test_prompts_without_learned_queries(changes, count):
    prompts = prompts_of(**changes)
    content, _ = cached_prompt(MODEL.decoder, prompts, 0)
    bare = prompts.cache.rows[0] + prompts.class_content.weight[0]
    added = prompts.repeat_content if count == 2 else torch.zeros(1, 32)
    torch.testing.assert_close(content, (bare + added).detach())


def test_the_prompt_of_examples_is_their_mean_without_a_class_embedding():
    prompts, examples = prompts_of(), torch.randn(3, 32)
    content, position = example_prompt(MODEL.decoder, prompts, examples)
    torch.testing.assert_close(content, examples.mean(0) + MODEL.decoder.query_content)
    torch.testing.assert_close(position, examples.mean(0) + MODEL.decoder.query_position)


def test_found_masks_are_each_there_once_best_first_and_the_more_alike_the_better(memory, masks):
    prompts = prompts_of()
    examples = example_states(MODEL.decoder, memory, masks[:1])
    prompt = example_prompt(MODEL.decoder, prompts, examples)
    found = find(MODEL.decoder, memory, prompt, examples)
    scores = found.qualities.tolist()
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    inside = torch.nn.functional.interpolate(found.mask_logits[None], scale_factor=4.0)[0] > 0
    flat = inside.flatten(1).float()
    overlaps = flat @ flat.T
    union = flat.sum(1)[:, None] + flat.sum(1) - overlaps
    iou = (overlaps / union.clamp(min=1)).fill_diagonal_(0)
    assert iou.max() < 0.6  # on another grid than that of the choice
    itself = find(MODEL.decoder, memory, prompt, example_states(MODEL.decoder, memory, inside[:1]))
    opposite = find(MODEL.decoder, memory, prompt, -examples)
    assert itself.qualities.max() > opposite.qualities.max()


def test_an_own_classifier_scores(memory, masks):
    prompts = prompts_of(own_classifier=True)
    with torch.no_grad():
        prompts.class_linear.weight.zero_()
        prompts.class_linear.bias.copy_(torch.tensor([-100.0, 100.0]))
    examples = example_states(MODEL.decoder, memory, masks)
    prompt = example_prompt(MODEL.decoder, prompts, examples)
    sure = find(MODEL.decoder, memory, prompt, examples, classifier=prompts.class_linear)
    assert sure.qualities.max() < 1e-6
