import copy

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.ops.masks.pooling import masks_at, pool_inside
from segtune.systems.uniovseg.adapter import (
    FeatureAdapter,
    region_embeds,
    sees_anything,
    sources_of,
)
from segtune.systems.uniovseg.lora import merged


@pytest.fixture(scope="module")
def scene():
    torch.manual_seed(0)
    model = random_uniovseg(seed=1)
    seen = model.see(torch.randint(0, 256, (2, 3, 64, 64)).float())
    return model, seen, 3 * torch.randn(2, 5, 16, 16)


def changed(adapter):
    """An adapter that has learned something."""
    for weight in adapter.up:
        torch.nn.init.normal_(weight)
    return adapter


@pytest.mark.parametrize("adapts_head", [False, True])
def test_at_the_start_regions_are_those_of_the_frozen_clip_bit_for_bit(scene, adapts_head):
    adapter = FeatureAdapter(TINY, rank=4, adapts_head=adapts_head)
    assert torch.equal(region_embeds(*scene, adapter), region_embeds(*scene))


def test_pooling_before_the_second_map_is_exact(scene):
    """Against the plain way: a map as wide as the last one at every scale."""
    _, seen, mask_logits = scene
    adapter = changed(FeatureAdapter(TINY, rank=4, alpha=2.0))
    total = 0.0
    for maps, down, up in zip(sources_of(seen), adapter.down, adapter.up, strict=True):
        normed = []
        for x in maps:
            centred = x - x.mean(1, keepdim=True)
            normed.append(centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())
        z = torch.einsum("rc,bchw->brhw", down, torch.cat(normed, 1))
        wide = torch.einsum("cr,brhw->bchw", up, F.gelu(z)) * 2.0 / 4
        total = total + pool_inside(wide, masks_at(mask_logits, wide.shape[-2:]))
    found = adapter(adapter.reduced(sources_of(seen)), mask_logits)
    torch.testing.assert_close(found, total)


def test_scales_are_paired_by_their_size(scene):
    for encoded, decoded in sources_of(scene[1]):
        assert encoded.shape[-2:] == decoded.shape[-2:]
    assert sources_of(scene[1])[0][1] is scene[1].mask_features


def test_additions_to_the_head_are_those_of_merged_matrices(scene):
    model, seen, mask_logits = scene
    adapter = FeatureAdapter(TINY, rank=3, adapts_head=True)
    for low_rank in adapter.head:
        torch.nn.init.normal_(low_rank.up)
    head = copy.deepcopy(model.clip.head)
    head.expand = merged(head.expand, adapter.head[0])
    head.project = merged(head.project, adapter.head[1])
    last = seen.maps[-1]
    expected = head(pool_inside(last, masks_at(mask_logits, last.shape[-2:])))
    found = region_embeds(model, seen, mask_logits, adapter)
    torch.testing.assert_close(found, F.normalize(expected, dim=-1))


def test_gradients_reach_the_adapter_only(scene):
    model, seen, mask_logits = scene
    adapter = changed(FeatureAdapter(TINY, rank=2))
    embeds = region_embeds(model, seen, mask_logits, adapter)
    torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(2, 5))
    embeds[..., 0].sum().backward()
    assert all(p.grad.abs().max() > 0 for p in adapter.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_masks_without_a_position_are_told_apart(scene):
    model, seen, _ = scene
    masks = torch.full((2, 2, 16, 16), -5.0)
    masks[:, 1, :8, :8] = 5.0
    assert sees_anything(seen, masks).tolist() == [[False, True]] * 2
    assert region_embeds(model, seen, masks).isfinite().all()
