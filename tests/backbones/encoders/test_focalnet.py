"""FocalNet against the official code, and what the goldens do not show."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.encoders.focalnet import FocalModulation, FocalNet, FocalNetConfig
from segtune.backbones.encoders.keys import FOCALNET, focalnet_config_from
from segtune.backbones.reading.key_tables import load_strictly, rename_keys, reversed_rules
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import DEEP_STEPS, close, goldens, notices_every_weight

TINY = {"embed_dim": 8, "depths": (1, 2, 1, 1)}


def compare(net, golden):
    for index, level in enumerate(net(golden.part("in")["pixel_values"])):
        close(level, golden.part("out")[f"res{index + 2}"], steps=DEEP_STEPS)


@pytest.mark.golden
@pytest.mark.parametrize("component", ["seem_focal_dw", "seem_focal"])
def test_official_outputs(component):
    for golden in goldens(component):
        official, state = (
            golden.config["official_config"]["BACKBONE"]["FOCAL"],
            golden.part("state"),
        )
        config = focalnet_config_from(
            state,
            post_norm=official["USE_POSTLN"],
            scaled_modulator=official["SCALING_MODULATOR"],
        )
        assert config.depths == tuple(official["DEPTHS"])
        assert config.focal_levels == tuple(official["FOCAL_LEVELS"])
        assert config.focal_windows == tuple(official["FOCAL_WINDOWS"])
        assert config.depthwise == ("dw" in component)
        net = FocalNet(config)
        load_strictly(net, rename_keys(state, FOCALNET), component)
        notices_every_weight(net, partial(compare, net, golden))
        back = rename_keys(net.state_dict(), reversed_rules(FOCALNET))
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (FocalNetConfig(), 29.9),
        (
            FocalNetConfig(
                embed_dim=192, depths=(2, 2, 18, 2), focal_levels=(4,) * 4, depthwise=False
            ),
            205.7,
        ),
    ],
)
def test_parameter_counts_of_the_published_sizes(config, millions):
    with torch.device("meta"):
        net = FocalNet(config)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(64, 96), (61, 90), (33, 32), (1, 1)])
@pytest.mark.parametrize("depthwise", [True, False])
def test_any_size_rounds_up(size, depthwise):
    net = FocalNet(FocalNetConfig(**TINY, depthwise=depthwise))
    for stride, level in zip((4, 8, 16, 32), net(torch.randn(2, 3, *size)), strict=True):
        assert level.shape[-2:] == tuple(-(-side // stride) for side in size)


def test_padding_is_zero_on_the_right_and_bottom():
    net = FocalNet(FocalNetConfig(**TINY))
    image = torch.randn(1, 3, 64, 61)
    for level, padded in zip(net(image), net(F.pad(image, (0, 3))), strict=True):
        torch.testing.assert_close(level, padded)


@pytest.mark.parametrize("post_norm", [True, False])
@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("layer_scale", [1e-4, None])
def test_gradients_reach_every_parameter(post_norm, depthwise, layer_scale):
    config = FocalNetConfig(
        **TINY, post_norm=post_norm, depthwise=depthwise, layer_scale=layer_scale
    )
    net = FocalNet(config)
    sum(level.pow(3).sum() for level in net(torch.randn(2, 3, 32, 64))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.state_dict().keys() == FocalNet(config).state_dict().keys()


def test_modulation_against_the_formula():
    torch.manual_seed(0)
    channels, window = 4, 3
    module = FocalModulation(channels, levels=2, window=window, scaled=True)
    x = torch.randn(1, 5, 6, channels)
    query, context, gates = module.project_in(x)[0].split([channels, channels, 3], -1)
    total = torch.zeros(5, 6, channels)
    for level, conv in enumerate(module.contexts):
        reach = (window + 2 * level) // 2
        summed = torch.zeros_like(context)
        for row in range(5):
            for column in range(6):
                for dy in range(-reach, reach + 1):
                    for dx in range(-reach, reach + 1):
                        if 0 <= row + dy < 5 and 0 <= column + dx < 6:
                            kernel = conv.weight[:, 0, dy + reach, dx + reach]
                            summed[row, column] += kernel * context[row + dy, column + dx]
        context = F.gelu(summed)
        total = total + context * gates[..., level : level + 1]
    total = total + F.gelu(context.mean((0, 1))) * gates[..., 2:]
    mixed = F.linear(total / 3, module.mix.weight[:, :, 0, 0], module.mix.bias)
    torch.testing.assert_close(module(x)[0], module.project_out(query * mixed))


def test_stages_of_different_length_are_refused():
    with pytest.raises(SegtuneError, match="differ in length"):
        FocalNetConfig(depths=(1, 1, 1))


@pytest.mark.parametrize("keys", [[], ["convs.0.proj.weight"], ["layers.0.blocks.0.dw1.weight"]])
def test_sizes_of_something_else_are_refused(keys):
    with pytest.raises(WeightsError, match="not a"):
        focalnet_config_from(dict.fromkeys(keys, torch.ones(1)))


def test_a_missing_key_is_named():
    net = FocalNet(FocalNetConfig(**TINY))
    official = rename_keys(net.state_dict(), reversed_rules(FOCALNET))
    del official["norm3.bias"]
    config = focalnet_config_from(official)
    assert config == net.config
    with pytest.raises(WeightsError, match=r"missing output_norms\.3\.bias"):
        load_strictly(FocalNet(config), rename_keys(official, FOCALNET), "file")
