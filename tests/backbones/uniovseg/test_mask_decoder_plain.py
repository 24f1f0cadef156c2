"""The published formulation, and that the fast one is equal to it."""

import pytest
import torch

from segtune.backbones.uniovseg.mask_decoder import MaskDecoder
from segtune.backbones.uniovseg.mask_decoder_plain import decode_plainly
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder
from tests.goldens import close, goldens

from .official import Parts

COMPONENT = "uniovseg_prompt_decoder"


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["point", "box"])
def test_official_outputs(kind):
    for golden in goldens(COMPONENT):
        parts, out = Parts(golden), golden.part(f"outputs.{kind}")
        prompts = parts.prompts(kind)
        found, closed = decode_plainly(parts.decoder, prompts, parts.levels, parts.features)
        close(found[-1][0], out["pred_masks"])
        close(found[-1][1], out["pred_ious"])
        for index, blocked in enumerate(closed):
            assert torch.equal(blocked, out[f"blocked.{index}"].bool())


@pytest.mark.parametrize("size", [(64, 64), (96, 32)])
def test_the_fast_decoder_is_equal(size):
    torch.manual_seed(2)
    encoder, decoder = PromptEncoder(16), MaskDecoder(16, num_heads=4, num_layers=5, feedforward=24)
    encoder.requires_grad_(False)
    decoder.requires_grad_(False)
    levels = [torch.randn(2, 16, size[0] // s, size[1] // s) for s in (32, 16, 8)]
    features = torch.randn(2, 16, size[0] // 4, size[1] // 4)
    points = torch.rand(2, 9, 2) * torch.tensor(size[::-1])
    prompts = encoder.points(points, features, size)
    answers = decoder(prompts, decoder.remember(levels, features), every_layer=True)
    plain, _ = decode_plainly(decoder, prompts, levels, features)
    for fast, (masks, ious) in zip(answers, plain, strict=True):
        torch.testing.assert_close(fast.logits(features), masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fast.ious, ious, atol=1e-5, rtol=1e-4)
