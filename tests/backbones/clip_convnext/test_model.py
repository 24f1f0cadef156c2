"""Both towers against OpenCLIP, and regions against the public Uni-OVSeg code."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip_convnext.files import clip_convnext_from_official
from segtune.backbones.clip_convnext.random import random_clip_convnext
from segtune.errors import SegtuneError
from segtune.ops.masks.pooling import masks_at, pool_inside
from tests.goldens import close, goldens, notices_every_weight

PREFIX = "state_dict.backbone.clip_model"


def official(golden):
    state = golden.part(PREFIX)
    return clip_convnext_from_official(state, text_heads=golden.config["theads"])


def regions(clip, golden):
    """Means of the last map inside the masks, and their embeddings."""
    last = clip.dense(golden["inputs.image"])[-1]
    pooled = pool_inside(last, masks_at(golden["inputs.mask_logits"], last.shape[-2:]))
    return pooled, clip.project(pooled)


@pytest.mark.golden
def test_image_tower():
    for golden in goldens("uniovseg_convnext_clip"):
        clip, out = official(golden), golden.part("outputs")
        maps = clip.dense(golden["inputs.image"])
        close(clip.image.downsamples[0](golden["inputs.image"]), out["stem"])
        for level, found in enumerate(maps):
            close(found, out[f"res{level + 2}"])
        close(maps[-1], out["clip_vis_dense"])
        close(clip.encode_image(golden["inputs.image"]), out["image_embedding_unnormalised"])


@pytest.mark.golden
def test_regions():
    for golden in goldens("uniovseg_convnext_clip"):
        pooled, embeds = regions(official(golden), golden)
        close(pooled, golden["outputs.mask_pooled"])
        close(embeds, golden["outputs.region_embedding"])
        assert (pooled == 0).all(-1).any()  # an empty mask


@pytest.mark.golden
def test_text_tower():
    for golden in goldens("uniovseg_convnext_clip"):
        clip, out = official(golden), golden.part("outputs")
        tokens = golden["inputs.text_tokens"]
        close(clip.encode_text(tokens), out["text_embedding_unnormalised"])
        padded = F.pad(tokens, (0, 0, 0, 1), value=1)[:-1]
        assert torch.equal(clip.encode_text(padded), clip.encode_text(tokens))


@pytest.mark.golden
def test_one_wrong_weight_is_noticed():
    golden = goldens("uniovseg_convnext_clip")[0]
    clip, out = official(golden), golden.part("outputs")

    def compare():
        close(regions(clip, golden)[1], out["region_embedding"])
        close(clip.text(golden["inputs.text_tokens"]), out["text_embedding_unnormalised"])

    for part in (clip.image, clip.head, clip.text):
        notices_every_weight(part, compare)


def test_any_size_that_32_divides():
    clip = random_clip_convnext()
    for size in [(32, 32), (96, 64), (64, 160)]:
        maps = clip.dense(torch.zeros(2, 3, *size))
        strides = [size[0] // level.shape[-2] for level in maps]
        assert strides == [4, 8, 16, 32]
        assert maps[-1].shape == (2, 32, size[0] // 32, size[1] // 32)
    with pytest.raises(SegtuneError, match="multiples of 32; resize or pad to 64x96"):
        clip.dense(torch.zeros(1, 3, 33, 96))


def test_it_is_frozen():
    clip = random_clip_convnext().train()
    assert not clip.training
    assert not any(p.requires_grad for p in clip.parameters())
    assert clip.fingerprint == random_clip_convnext().fingerprint
    assert clip.fingerprint != random_clip_convnext(seed=1).fingerprint


def test_the_temperature_is_at_most_100():
    clip = random_clip_convnext()
    assert clip.temperature == pytest.approx(1 / 0.07)
    clip.logit_scale.fill_(6.0)
    assert clip.temperature == 100.0


def test_no_sentences():
    assert random_clip_convnext().encode_text(torch.zeros(0, 5, dtype=torch.long)).shape == (0, 16)


def test_long_sentences_are_refused():
    tokens = torch.ones(1, 20, dtype=torch.long)
    tokens[0, -1] = 63
    with pytest.raises(SegtuneError, match="20 tokens long but the text tower reads 16"):
        random_clip_convnext().encode_text(tokens)
