from dataclasses import replace

import numpy as np
import pytest
import torch

from segtune.backbones.clip.masked import region_embeds
from segtune.data.pairs import decode_rle
from segtune.engine.masks import LabelMasks
from segtune.engine.regions import ImageRegions, RegionCache, embed_regions, for_clip, region_key
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import OVSEG
from segtune.types import Sample
from tests.engine.worlds import VOCABULARY, clip, dataset

CLIP = clip()
CONFIG = for_clip(OVSEG, CLIP)


@pytest.fixture
def regions() -> ImageRegions:
    sample = dataset()[0]
    return embed_regions(sample.pixels(), LabelMasks(VOCABULARY)(sample), CLIP, CONFIG)


def test_regions_know_their_masks(regions):
    sample = dataset()[0]
    assert (CONFIG.size, len(regions), regions.size) == (16, 3, (32, 40))
    for class_id in range(3):
        mask = decode_rle(regions.rles[class_id], regions.size)
        assert (mask == (sample.semantic == class_id)).all()
        assert regions.areas_px[class_id] == mask.sum()
    assert regions.boxes_px.tolist() == [[0, 0, 12, 32], [12, 0, 26, 32], [26, 0, 40, 32]]


def test_embeddings_are_those_of_clip(regions):
    sample = dataset()[0]
    picture = torch.from_numpy(sample.pixels()).permute(2, 0, 1).float()
    masks = torch.stack([torch.from_numpy(sample.semantic == k) for k in range(3)])
    cut = cut_regions(picture, masks, CONFIG, normalisation=CLIP.normalisation)
    expected = region_embeds(CLIP, cut.pixels).detach().numpy()
    assert regions.embeds.dtype == np.float16
    np.testing.assert_allclose(regions.embeds, expected, atol=1e-3)


def test_parts_change_nothing_and_empty_masks_are_left_out(regions):
    sample = dataset()[0]
    masks = next(LabelMasks(VOCABULARY)(sample))
    empty = np.zeros_like(masks[:1])
    parts = [masks[:1], empty, np.concatenate([masks[1:2], empty]), masks[2:]]
    again = embed_regions(sample.pixels(), parts, CLIP, CONFIG)
    assert again.rles == regions.rles
    np.testing.assert_allclose(again.embeds, regions.embeds, atol=1e-3)


def test_mask_prompts_of_a_clip_are_used_and_change_the_key(regions):
    prompted = clip()
    prompted.mask_prompts = torch.ones(2, 4, 32)
    sample = dataset()[0]
    checks = np.indices((32, 40)).sum(0) < 20  # leaves a patch blank
    plain, learned = (
        embed_regions(sample.pixels(), [checks[None]], model, CONFIG).embeds
        for model in (CLIP, prompted)
    )
    assert np.abs(plain - learned).max() > 0.01
    keys = {region_key(sample, "m", model, CONFIG) for model in (CLIP, prompted)}
    assert len(keys) == 2


def test_no_masks_give_no_regions():
    none = embed_regions(np.zeros((4, 5, 3), np.uint8), [], CLIP, CONFIG)
    assert (len(none), none.size, none.embeds.shape) == (0, (4, 5), (0, CLIP.joint_width))
    assert none.boxes_px.shape == (0, 4)


def test_the_cache_gives_back_what_it_got(regions, tmp_path):
    cache = RegionCache(tmp_path / "new")
    none = embed_regions(np.zeros((4, 5, 3), np.uint8), [], CLIP, CONFIG)
    for key, kept in (("abc", regions), ("def", none)):
        assert cache.get(key) is None
        cache.put(key, kept)
        back = cache.get(key)
        assert (back.size, back.rles) == (kept.size, kept.rles)
        for name in ("boxes_px", "areas_px", "embeds"):
            np.testing.assert_array_equal(getattr(back, name), getattr(kept, name))
            assert getattr(back, name).dtype == getattr(kept, name).dtype


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"noise"])
def test_a_damaged_file_counts_as_absent(regions, tmp_path, content):
    cache = RegionCache(tmp_path)
    cache.put("abc", regions)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(content)
    assert cache.get("abc") is None


def test_no_folder_keeps_nothing(regions):
    cache = RegionCache(None)
    cache.put("abc", regions)
    assert cache.get("abc") is None


def test_the_key_follows_image_masks_clip_and_recipe(tmp_path):
    sample = dataset()[0]
    keys = {
        region_key(sample, "m", CLIP, CONFIG),
        region_key(dataset()[1], "m", CLIP, CONFIG),
        region_key(sample, "n", CLIP, CONFIG),
        region_key(sample, "m", clip(seed=1), CONFIG),
        region_key(sample, "m", CLIP, replace(CONFIG, style="crop")),
    }
    assert len(keys) == 5
    assert region_key(dataset()[0], "m", CLIP, CONFIG) in keys
    file = tmp_path / "a.png"
    file.write_bytes(b"1")
    before = region_key(Sample("a", file), "m", CLIP, CONFIG)
    file.write_bytes(b"22")
    assert region_key(Sample("a", file), "m", CLIP, CONFIG) != before
