import pytest
import torch

from segtune.backbones.mask2former.files import mask2former_from_official
from segtune.backbones.mask2former.keys import PREDICTOR_PREFIX, state_to_official
from segtune.backbones.mask2former.random import TINY, random_mask2former
from segtune.errors import WeightsError
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.official import (
    prompts_from_official,
    prompts_to_official,
    strip_for_inference,
)
from segtune.systems.segprompt.prompts import SegPrompts

OPTIONS = [
    {},
    {"project_cache": True, "own_repeats": True, "own_classifier": True},
    {"class_rows": "none"},
]


def prompts_of(**options) -> SegPrompts:
    torch.manual_seed(0)
    config = SegPromptConfig(num_prompts=6, repeat=2, **options)
    prompts = SegPrompts(config, num_classes=5, width=TINY.hidden)
    prompts.cache.update(torch.randn(1, 3, TINY.hidden), torch.tensor([[0, 2, 5]]))
    return prompts


@pytest.mark.parametrize("options", OPTIONS)
def test_there_and_back(options):
    prompts = prompts_of(**options)
    found = prompts_from_official(
        prompts_to_official(prompts), SegPromptConfig(num_prompts=6, repeat=2)
    )
    assert found.config == prompts.config
    state = found.state_dict()
    for name, value in prompts.state_dict().items():
        if name != "cache.counts":  # in no released file
            assert torch.equal(state[name], value), name


@pytest.mark.parametrize("options", OPTIONS)
def test_a_stripped_checkpoint_is_the_plain_model_bit_for_bit(options):
    model = random_mask2former()
    plain = state_to_official(model.state_dict())
    extra = prompts_to_official(prompts_of(**options))
    whole = {**plain, **{PREDICTOR_PREFIX + name: value for name, value in extra.items()}}
    stripped = strip_for_inference(whole)
    assert stripped.keys() == plain.keys()
    pixels = torch.rand(1, 3, 64, 64) * 255
    settings = {"num_heads": TINY.num_heads, "groups": TINY.groups}
    found = mask2former_from_official(stripped, **settings).answer(pixels)
    expected = model.answer(pixels)
    assert torch.equal(found.mask_logits, expected.mask_logits)
    assert torch.equal(found.class_logits, expected.class_logits)
    assert strip_for_inference(extra) == {}


def test_a_checkpoint_without_a_cache_is_refused():
    with pytest.raises(WeightsError, match="SegPrompt"):
        prompts_from_official({}, SegPromptConfig())
