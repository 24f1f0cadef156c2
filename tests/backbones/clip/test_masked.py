"""Mask prompts: both paths, any depth, degenerate regions, gradients, the official code."""

import pytest
import torch

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.clip.masked import AT_ONCE, region_embeds, shown_patches
from segtune.backbones.clip.random import random_clip_vit
from segtune.errors import WeightsError
from tests.goldens import close, goldens

SIDE, PATCH, PATCHES = 32, 8, 16
PATHS = ("plain", "fast")


@pytest.fixture(scope="module")
def clip():
    return random_clip_vit(width=32, layers=4, image_size=SIDE, patch_size=PATCH, seed=3)


def _regions(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and masks that leave some patches whole, some cut and some blank."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, SIDE, SIDE)
    corners = torch.randint(0, SIDE - 2, (count, 2), generator=generator)
    sides = torch.randint(1, SIDE, (count, 2), generator=generator)
    for mask, (y, x), (h, w) in zip(masks, corners, sides, strict=True):
        mask[y : y + h, x : x + w] = 1
    return torch.randn(count, 3, SIDE, SIDE, generator=generator) * masks[:, None], masks


def _prompts(depth: int, patches: int = PATCHES, seed: int = 5) -> torch.Tensor:
    return torch.randn(depth, patches, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("patches", [PATCHES, 1])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_fast_equals_plain(clip, depth, patches):
    pixels, masks = _regions(7)
    prompts = _prompts(depth, patches) if depth else None
    plain = region_embeds(clip, pixels, masks, prompts, path="plain")
    fast = region_embeds(clip, pixels, masks, prompts)
    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=0)
    torch.testing.assert_close(plain.norm(dim=1), torch.ones(7))


@torch.no_grad()
def test_many_regions_come_back_in_order(clip):
    pixels, masks = _regions(2 * AT_ONCE["cpu"] + 3)
    plain = region_embeds(clip, pixels, masks, _prompts(2), path="plain")
    for at_once in (None, 3, len(pixels)):
        fast = region_embeds(clip, pixels, masks, _prompts(2), at_once=at_once)
        torch.testing.assert_close(fast, plain, atol=2e-6, rtol=0)


def test_each_patch_is_replaced_by_its_own_prompt_once_per_layer(clip):
    """By hand: two blocks of prompts written into the tokens, then the plain tower."""
    pixels, masks = _regions(3)
    prompts = _prompts(2)
    expected = []
    for picture, mask in zip(pixels, masks, strict=True):
        blank = [
            not mask[y : y + PATCH, x : x + PATCH].any()
            for y in range(0, SIDE, PATCH)
            for x in range(0, SIDE, PATCH)
        ]
        patches = clip.patches(picture[None]).clone()
        for place in range(PATCHES):
            if blank[place]:
                patches[0, place] = prompts[0, place]
        tokens = clip.block(0, clip.enter(patches, (4, 4))).clone()
        for place in range(PATCHES):
            if blank[place]:
                tokens[0, 1 + place] = prompts[1, place]
        for index in (1, 2, 3):
            tokens = clip.block(index, tokens)
        expected.append(clip.to_joint(tokens[:, 0]))
    for path in PATHS:
        actual = region_embeds(clip, pixels, masks, prompts, path=path)
        torch.testing.assert_close(actual, torch.cat(expected), atol=2e-6, rtol=0)


@pytest.mark.parametrize("path", PATHS)
def test_without_blank_patches_prompts_change_nothing(clip, path):
    pixels = torch.randn(2, 3, SIDE, SIDE)
    bare = region_embeds(clip, pixels, path=path)
    for masks in (torch.ones(2, SIDE, SIDE), None):
        prompted = region_embeds(clip, pixels, masks, _prompts(3), path=path)
        torch.testing.assert_close(prompted, bare, atol=1e-6, rtol=0)
    embeds = clip.model.get_image_features(pixels)
    reference = getattr(embeds, "pooler_output", embeds)
    reference = torch.nn.functional.normalize(reference, dim=-1)
    torch.testing.assert_close(bare, reference, atol=1e-6, rtol=0)


@pytest.mark.parametrize("path", PATHS)
def test_none_one_and_blank_regions(clip, path):
    pixels, masks = _regions(3)
    prompts = _prompts(3)
    none = region_embeds(clip, pixels[:0], masks[:0], prompts, path=path)
    assert none.shape == (0, clip.joint_width)
    several = region_embeds(clip, pixels, masks, prompts, path=path)
    one = region_embeds(clip, pixels[1:2], masks[1:2], prompts, path=path)
    torch.testing.assert_close(one, several[1:2], atol=2e-6, rtol=0)
    blank = region_embeds(clip, pixels, torch.zeros_like(masks), prompts, path=path)
    assert blank.isfinite().all()
    torch.testing.assert_close(blank[0], blank[1])  # nothing of the picture is left


def test_one_pixel_keeps_its_patch():
    mask = torch.zeros(1, 16, 16)
    mask[0, 7, 8] = 1
    assert shown_patches(mask, 8).tolist() == [[False, True, False, False]]
    assert shown_patches(mask * 1e-3, 8).any()  # a soft mask: anything above zero


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients_of_both_paths_are_equal(clip, depth):
    pixels, masks = _regions(5)
    target = torch.randn(5, clip.joint_width)
    gradients = []
    for path in PATHS:
        prompts = _prompts(depth).requires_grad_()
        (region_embeds(clip, pixels, masks, prompts, path=path) * target).sum().backward()
        gradients.append(prompts.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)
    assert gradients[0].flatten(1).abs().sum(1).min() > 0  # every layer has some


def test_gradients_of_the_weights_are_equal():
    """What fine-tuning of the image tower needs."""
    pixels, _ = _regions(4)
    gradients = []
    for path in PATHS:
        clip = random_clip_vit(width=32, layers=2, image_size=SIDE, patch_size=PATCH, seed=1)
        clip.model.vision_model.requires_grad_(True)
        region_embeds(clip, pixels, path=path).sum().backward()
        named = clip.model.vision_model.named_parameters()
        gradients.append({name: parameter.grad for name, parameter in named})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "shape", [(5, PATCHES, 32), (0, PATCHES, 32), (1, 9, 32), (1, PATCHES, 16), (PATCHES, 32)]
)
def test_prompts_that_do_not_fit(clip, shape):
    pixels, masks = _regions(1)
    with pytest.raises(WeightsError, match=r"mask prompts are .* takes \(1 to 4 layers"):
        region_embeds(clip, pixels, masks, torch.zeros(shape))


@pytest.mark.golden
@pytest.mark.parametrize("path", PATHS)
def test_official_image_tower(path):
    for golden in goldens("ovseg_clip_mpt"):
        clip = clip_vit_from_official(golden.part("sd"))
        pixels, masks = golden["in.images"], golden["in.region_masks"][:, 0]
        shown = shown_patches(masks, clip.patch_size)
        assert torch.equal(shown, golden["out.patch_mask"].bool())
        text = torch.nn.functional.normalize(golden["out.text_features"], dim=-1)
        close(clip.encode_text(golden["in.token_ids"]), golden["out.text_features"])
        depths = [0, *(int(key.removeprefix("depth")) for key in golden.part("mask_embedding"))]
        for depth in depths:
            case = f"depth{depth}" if depth else "depth0_nomask"
            prompts = golden[f"mask_embedding.{case}"] if depth else None
            embeds = region_embeds(clip, pixels, masks if depth else None, prompts, path=path)
            expected = golden[f"out.image_features.{case}"]
            close(embeds, torch.nn.functional.normalize(expected, dim=-1))
            if depth:
                close(100 * embeds @ text.T, golden[f"out.logits.{case}"])
