"""The deformable pixel decoder against the official code of both models, and its promises."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from segtune.backbones.decoders.deformable import DeformableAttention, DeformablePixelDecoder
from segtune.backbones.decoders.keys import (
    DEFORMABLE,
    PIXEL_DECODER_PREFIX,
    deformable_sizes_from,
)
from segtune.backbones.decoders.layers import ChannelNorm
from segtune.backbones.decoders.position import FourierPositions
from segtune.backbones.reading.key_tables import load_strictly, rename_keys, reversed_rules
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import Golden, close, goldens, notices_every_weight

CHANNELS = (4, 8, 12, 16)
COMPONENTS = ["segprompt_pixel_decoder", "uniovseg_pixel_decoder"]


def official(golden: Golden) -> DeformablePixelDecoder:
    """The decoder of a golden of either model; Uni-OVSeg's has its frequencies in the file."""
    config = golden.config
    state = rename_keys(golden.part(f"state_dict.{PIXEL_DECODER_PREFIX[:-1]}"), DEFORMABLE)
    sizes = deformable_sizes_from(
        state,
        num_heads=config.get("nheads", config.get("heads")),
        groups=config.get("groups", 32),
    )
    if "positions.frequencies" in state:
        parts = {"norm": ChannelNorm, "positions": FourierPositions(sizes["hidden"])}
        decoder = DeformablePixelDecoder(**sizes, **parts)
    else:
        decoder = DeformablePixelDecoder(**sizes)
    load_strictly(decoder, state, golden.path.name)
    return decoder.requires_grad_(False)


def side(golden: Golden, which: str) -> dict[str, Tensor]:
    """Inputs ("in") or outputs ("out"), whose prefixes differ between the two models."""
    return golden.part(which) or golden.part(which + "puts")


def maps_of(golden: Golden) -> list[Tensor]:
    return [side(golden, "in")[f"res{level}"] for level in range(2, 6)]


def noted(found: list[Tensor], _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
    found.append(output)


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("component", COMPONENTS)
def test_official_outputs(component, dtype):
    for golden in goldens(component):
        decoder, out = official(golden).to(dtype), side(golden, "out")
        layers: list[Tensor] = []
        keep = partial(noted, layers)
        for layer in decoder.layers:
            layer.register_forward_hook(keep)
        levels, mask_features = decoder([x.to(dtype) for x in maps_of(golden)])
        close(mask_features, out["mask_features"])
        for index, level in enumerate(levels):
            close(level, out[f"multi_scale_features.{index}"])
        for index, tokens in enumerate(layers):
            if f"encoder_layer.{index}" in out:
                close(tokens, out[f"encoder_layer.{index}"])


@pytest.mark.golden
def test_the_first_attention_alone_is_the_official_one():
    for golden in goldens("uniovseg_pixel_decoder"):
        attention, out = official(golden).layers[0].attention, golden.part("outputs.msdeform0")
        sizes = [tuple(x.shape[-2:]) for x in maps_of(golden)[:0:-1]]
        places = out["reference_points"][0, :, 0]
        found = attention(out["query"], places, out["value_in"], sizes)
        close(found, out["out"])


@pytest.mark.golden
@pytest.mark.parametrize("component", COMPONENTS)
def test_one_wrong_weight_is_noticed(component):
    golden = goldens(component)[0]
    decoder, out = official(golden), side(golden, "out")

    def compare() -> None:
        levels, mask_features = decoder(maps_of(golden))
        close(mask_features, out["mask_features"])
        for index, level in enumerate(levels):
            close(level, out[f"multi_scale_features.{index}"])

    notices_every_weight(decoder, compare)


@pytest.mark.golden
@pytest.mark.parametrize("component", COMPONENTS)
def test_official_names_there_and_back(component):
    for golden in goldens(component):
        state = golden.part(f"state_dict.{PIXEL_DECODER_PREFIX[:-1]}")
        back = rename_keys(official(golden).state_dict(), reversed_rules(DEFORMABLE))
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


def test_fewer_levels_and_more_steps_of_the_fpn():
    """Two levels for the encoder, two FPN steps; sizes that no number divides."""
    torch.manual_seed(0)
    decoder = DeformablePixelDecoder(
        CHANNELS,
        hidden=32,
        mask_dim=24,
        num_layers=2,
        num_heads=4,
        feedforward=40,
        num_levels=2,
        num_points=3,
        groups=8,
    )
    sizes = [(23, 17), (12, 9), (6, 5), (3, 3)]
    maps = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]
    levels, mask_features = decoder(maps)
    assert [tuple(level.shape) for level in levels] == [(2, 32, 3, 3), (2, 32, 6, 5)]
    assert mask_features.shape == (2, 24, 23, 17)
    (mask_features.pow(2).sum() + levels[0].pow(2).sum()).backward()
    assert all(p.grad is not None for p in decoder.parameters())
    own = decoder.state_dict()
    sizes = deformable_sizes_from(own, num_heads=4, groups=8)
    again = DeformablePixelDecoder(**sizes)
    load_strictly(again, own, "again")
    torch.testing.assert_close(again(maps)[1], mask_features)


def test_points_start_on_rays_and_shares_are_equal():
    attention = DeformableAttention(32, 8, 2, 3)
    start = attention.offsets.bias.view(8, 2, 3, 2)
    for head, ray in enumerate(
        [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    ):
        for point in range(3):
            expected = (point + 1) * torch.tensor(ray, dtype=torch.float32)
            torch.testing.assert_close(start[head, :, point], expected.expand(2, -1))
    # All heads copy the values, so every query reads means of its surroundings.
    nn.init.eye_(attention.values.weight)
    nn.init.eye_(attention.project_out.weight)
    places, tokens = torch.full((1, 2), 0.5), torch.ones(1, 2 * 81, 32)
    found = attention(torch.randn(1, 1, 32), places, tokens, [(9, 9), (9, 9)])
    torch.testing.assert_close(found, torch.ones(1, 1, 32))


def test_mixed_precision_leaves_it_in_that_of_its_weights():
    decoder = DeformablePixelDecoder(CHANNELS, hidden=32, num_layers=1)
    maps = [torch.randn(1, c, s, s) for c, s in zip(CHANNELS, (16, 8, 4, 2), strict=True)]
    maps = [x.bfloat16().float() for x in maps]
    levels, mask_features = decoder(maps)
    with torch.autocast("cpu", torch.bfloat16):
        half_levels, half = decoder([x.bfloat16() for x in maps])
    assert torch.equal(half, mask_features)
    assert torch.equal(half_levels[2], levels[2])


@pytest.mark.parametrize("sizes", [{"hidden": 36}, {"num_heads": 5}, {"groups": 20}])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(SegtuneError, match="multiple of"):
        DeformablePixelDecoder(CHANNELS, **{"hidden": 32, **sizes})


def test_a_checkpoint_of_something_else_is_refused():
    with pytest.raises(WeightsError, match="nothing stands for level_embeds among 0 tensors"):
        deformable_sizes_from({})
    own = DeformablePixelDecoder(CHANNELS, hidden=32, num_layers=1, num_heads=4).state_dict()
    with pytest.raises(WeightsError, match="cannot have 5 heads; pass the num_heads"):
        deformable_sizes_from(own, num_heads=5)
