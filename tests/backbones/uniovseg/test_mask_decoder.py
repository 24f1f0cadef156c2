"""The mask decoder against the public code, and its promises: no prompt sees another."""

import pytest
import torch

from segtune.backbones.uniovseg.mask_decoder import MaskDecoder
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder, PromptTokens
from tests.goldens import close, goldens, notices_every_weight

from .official import Parts

COMPONENT = "uniovseg_prompt_decoder"
KINDS = ("point", "box")


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_official_outputs(kind, dtype):
    for golden in goldens(COMPONENT):
        parts, out = Parts(golden), golden.part(f"outputs.{kind}")
        parts = parts.to_double() if dtype == torch.float64 else parts
        memory = parts.decoder.remember(parts.levels, parts.features)
        answers = parts.decoder(parts.prompts(kind), memory, every_layer=True)
        close(answers[-1].logits(parts.features), out["pred_masks"])
        close(answers[-1].ious, out["pred_ious"])
        assert len(answers) == golden.config["layers"] + 1
        for index, answer in enumerate(answers[:-1]):
            close(answer.ious, out[f"aux.{index}.pred_ious"])
            if f"aux.{index}.pred_masks" in out:
                close(answer.logits(parts.features), out[f"aux.{index}.pred_masks"])
            small = memory.small[index % 3]
            blocked = out[f"blocked.{index}"].bool()
            expected = ~blocked | blocked.all(-1, keepdim=True)
            assert torch.equal(parts.decoder.opened(answer.logits(small)), expected)


@pytest.mark.golden
def test_encoding_of_places():
    for golden in goldens(COMPONENT):
        parts = Parts(golden)
        size = tuple(parts.levels[0].shape[-2:])
        close(parts.decoder.positions(parts.features, size), golden["outputs.pe.level0"])


@pytest.mark.golden
def test_one_wrong_weight_is_noticed():
    golden = goldens(COMPONENT)[0]
    parts = Parts(golden)

    def compare():
        memory = parts.decoder.remember(parts.levels, parts.features)
        for kind in KINDS:
            answers = parts.decoder(parts.prompts(kind), memory)[-1]
            close(answers.logits(parts.features), golden[f"outputs.{kind}.pred_masks"])
            close(answers.ious, golden[f"outputs.{kind}.pred_ious"])

    notices_every_weight(parts.decoder, compare)


@pytest.fixture(scope="module")
def scene():
    torch.manual_seed(1)
    encoder, decoder = PromptEncoder(16), MaskDecoder(16, num_heads=2, num_layers=4, feedforward=24)
    levels = [torch.randn(2, 16, side, side) for side in (2, 4, 8)]
    features = torch.randn(2, 16, 16, 16)
    with torch.no_grad():
        memory = decoder.remember(levels, features)
        prompts = encoder.points(64 * torch.rand(2, 6, 2), features, (64, 64))
    return decoder.requires_grad_(False), memory, prompts


def _masks(scene, tokens):
    decoder, memory, prompts = scene
    prompts = PromptTokens(tokens, prompts.num_corners, prompts.slots)
    return decoder(prompts, memory)[-1].logits(memory.mask_features)


def test_equal_prompts_have_equal_masks(scene):
    tokens = scene[2].tokens
    masks = _masks(scene, torch.cat([tokens, tokens[:, 2:3]], 1))
    torch.testing.assert_close(masks[:, -1], masks[:, 2])


def test_the_order_of_prompts_is_that_of_their_masks(scene):
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    tokens = scene[2].tokens
    torch.testing.assert_close(_masks(scene, tokens[:, order]), _masks(scene, tokens)[:, order])


def test_prompts_may_come_in_parts(scene):
    tokens = scene[2].tokens
    parts = [_masks(scene, tokens[:, part]) for part in (slice(0, 1), slice(1, 6))]
    torch.testing.assert_close(torch.cat(parts, 1), _masks(scene, tokens))


def test_images_do_not_see_each_other(scene):
    decoder, memory, prompts = scene
    both = decoder(prompts, memory)[-1]
    alone = type(memory)(
        memory.mask_features[1:],
        *(tuple(x[1:] for x in part) for part in (memory.small, memory.keys, memory.values)),
    )
    second = PromptTokens(prompts.tokens[1:], prompts.num_corners, prompts.slots)
    found = decoder(second, alone)[-1]
    torch.testing.assert_close(found.embeds, both.embeds[1:])


def test_chosen_masks_are_those_of_all(scene):
    decoder, memory, prompts = scene
    answers = decoder(prompts, memory)[-1]
    ids = torch.tensor([5, 0, 23])
    every = answers.logits(memory.mask_features)[1].flatten(0, 1)
    torch.testing.assert_close(answers.chosen(memory.mask_features, 1, ids), every[ids])
    none = answers.chosen(memory.mask_features, 0, torch.zeros(0, dtype=torch.long))
    assert none.shape == (0, 16, 16)


def test_a_closed_prompt_looks_everywhere():
    closed = torch.full((1, 2, 3, 2, 2), -1.0)
    closed[0, 1, 2, 0, 1] = 0.0
    assert MaskDecoder.opened(closed).tolist() == [[[True] * 4, [False, True, False, False]]]


def test_gradients_reach_the_prompts_and_the_maps(scene):
    tokens = scene[2].tokens.clone().requires_grad_()
    _masks(scene, tokens).square().mean().backward()
    assert tokens.grad.abs().flatten(2).amax(-1).min() > 0
