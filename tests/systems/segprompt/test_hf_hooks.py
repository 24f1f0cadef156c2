"""A model of transformers with SegPrompt's queries: its own answers stay, and all are ours."""

from dataclasses import replace

import pytest
import torch

from segtune.backbones.mask2former.files import load_mask2former
from segtune.errors import SegtuneError
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.hf_hooks import HookedSegPrompt
from segtune.systems.segprompt.model import SegPrompt
from segtune.systems.segprompt.prompts import SegPrompts
from tests.backbones.mask2former.test_hf import of_transformers

CONFIG = SegPromptConfig(num_prompts=6, repeat=2, num_examples=3, min_area=4)
IDS = torch.tensor([[0, 0, 3, 3, 1, 1], [2, 2, 0, 0, 4, 4]])


def example_masks() -> torch.Tensor:
    masks = torch.zeros(2, 3, 96, 128)
    masks[0, 0, 10:60, 20:70] = 1
    masks[1, 0, 40:90, 60:120] = 1
    masks[1, 1, 3:5, 3:5] = 1  # smaller than a cell; and slots without an object
    return masks


def prompts_of(config: SegPromptConfig) -> SegPrompts:
    prompts = SegPrompts(config, num_classes=4, width=32)
    prompts.cache.rows.normal_()
    return prompts


def num_hooks(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"independent": True},
        {"group_masks": False},
        {"all_see_all": True},
        {"own_repeats": True},
        {"own_classifier": True},
        {"repeat": 1},
    ],
)
def test_answers_are_those_of_our_own_at_equal_weights(changes, tmp_path):
    theirs = of_transformers("resnet")
    theirs.save_pretrained(tmp_path)
    ours = load_mask2former(tmp_path)
    config = replace(CONFIG, **changes)
    torch.manual_seed(1)
    prompts = prompts_of(config)
    picks = prompts.picks(5, torch.Generator().manual_seed(0))
    pixels = torch.rand(2, 3, 96, 128) * 255
    with torch.no_grad():
        hooked = HookedSegPrompt(theirs, prompts)(
            ours.normalisation.apply(pixels), IDS, picks, example_masks()
        )
        expected = SegPrompt(ours.decoder, prompts)(
            ours.memory(pixels), IDS, picks, example_masks()
        )
    torch.testing.assert_close(hooked.example_states, expected.example_states, rtol=1e-4, atol=1e-4)
    for name in ("learned", "prompts", "examples"):
        pairs = zip(getattr(hooked, name), getattr(expected, name), strict=True)
        for one, two in pairs:
            torch.testing.assert_close(one.class_logits, two.class_logits, rtol=1e-4, atol=1e-4)
            masks = two.mask_logits.formed()
            torch.testing.assert_close(one.mask_logits, masks, rtol=1e-3, atol=1e-3)


def test_no_prompt_or_example_moves_the_learned_queries_and_no_hook_is_left():
    model = of_transformers("swin")
    prompts = prompts_of(CONFIG)
    picks = prompts.picks(5, torch.Generator().manual_seed(0))
    pixels = torch.rand(2, 3, 96, 128)
    with torch.no_grad():
        before = model(pixel_values=pixels)
        hooks = num_hooks(model)  # transformers has some of its own
        hooked = HookedSegPrompt(model, prompts)
        found = hooked(pixels, IDS, picks, example_masks())
        other = hooked(pixels, IDS.flip(0), picks.flip(0), 1 - example_masks())
        after = model(pixel_values=pixels)
    for one, two in zip(found.learned, other.learned, strict=True):
        assert torch.equal(one.class_logits, two.class_logits)
        assert torch.equal(one.mask_logits, two.mask_logits)
    assert not torch.equal(found.prompts[-1].mask_logits, other.prompts[-1].mask_logits)
    assert not torch.equal(found.example_states, other.example_states)
    # Products of other shapes are summed in another order, so up to rounding:
    last = found.learned[-1]
    torch.testing.assert_close(last.class_logits, before.class_queries_logits)
    torch.testing.assert_close(last.mask_logits, before.masks_queries_logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(after.masks_queries_logits, before.masks_queries_logits)
    assert num_hooks(model) == hooks


def test_gradients_reach_prompts_and_model():
    model = of_transformers("resnet")
    prompts = prompts_of(CONFIG)
    picks = prompts.picks(5, torch.Generator().manual_seed(0))
    found = HookedSegPrompt(model, prompts)(torch.rand(2, 3, 96, 128), IDS, picks, example_masks())
    found.prompts[-1].mask_logits.square().mean().backward()
    assert prompts.class_content.weight.grad.abs().sum() > 0
    assert model.model.transformer_module.queries_features.weight.grad.abs().sum() > 0


def test_another_width_is_refused():
    with pytest.raises(SegtuneError, match="width 16 do not fit a decoder of width 32"):
        HookedSegPrompt(of_transformers("resnet"), SegPrompts(CONFIG, num_classes=4, width=16))
