"""ResNet against the official code, both stems, and what stays frozen."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.encoders.keys import RESNET, encoder_config_from
from segtune.backbones.encoders.resnet import FrozenBatchNorm, ResNet, ResNetConfig
from segtune.backbones.reading.key_tables import (
    keys_under,
    load_strictly,
    rename_keys,
    reversed_rules,
)
from tests.goldens import close, goldens


@pytest.mark.golden
@pytest.mark.parametrize("stem", ["basic", "deeplab"])
def test_official_outputs(stem):
    for golden in goldens("maskformer_resnet", f"resnet_{stem}"):
        official = keys_under(golden.part("sd"), "backbone.")
        state = rename_keys(official, RESNET)
        config = encoder_config_from(state)
        assert config.depths == tuple(golden.metadata["blocks"])
        assert len(config.stem) == (3 if stem == "deeplab" else 1)
        dilations = tuple(golden.metadata["res5_multi_grid"])
        assert config.dilations == dilations[: config.depths[-1]]
        resnet = ResNet(config)
        load_strictly(resnet, state, stem)
        for index, level in enumerate(resnet(golden["in.images"])):
            close(level, golden[f"out.res{index + 2}"])
        back = rename_keys(resnet.state_dict(), reversed_rules(RESNET))
        assert back.keys() == official.keys()
        assert all(torch.equal(back[key], official[key]) for key in official)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (ResNetConfig((3, 4, 6, 3), (64,), dilations=(1, 1, 1)), 23.5),  # ResNet-50
        (ResNetConfig((3, 4, 23, 3), (64,), dilations=(1, 1, 1)), 42.5),  # ResNet-101
    ],
)
def test_parameter_counts_of_the_published_sizes(config, millions):
    """Those of the usual tables, without the classifier."""
    with torch.device("meta"):
        resnet = ResNet(config)
    affine = [v for k, v in resnet.named_buffers() if k.endswith((".weight", ".bias"))]
    count = sum(tensor.numel() for tensor in (*resnet.parameters(), *affine))
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_batch_norm_is_frozen_and_equals_that_of_torch_in_evaluation():
    ours, theirs = FrozenBatchNorm(4), torch.nn.BatchNorm2d(4)
    for name, tensor in ours.named_buffers():
        tensor.copy_(torch.rand(4) + 0.5)
        theirs.state_dict()[name].copy_(tensor)
    x = torch.randn(2, 4, 3, 3)
    expected = theirs.eval()(x)
    torch.testing.assert_close(ours.train()(x), expected)
    assert not list(ours.parameters())


def test_dilation_widens_the_last_stage_only():
    config = ResNetConfig((1, 1, 1, 3), (4, 4, 8), bottleneck=2, out=8)
    resnet = ResNet(config)
    assert [block.convs[1].conv.dilation[0] for block in resnet.stages[3]] == [1, 2, 4]
    assert all(block.convs[1].conv.dilation[0] == 1 for block in resnet.stages[2])
    shapes = [tuple(level.shape[1:]) for level in resnet(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]


def test_a_bottleneck_by_hand():
    """No normalisation, no change of channels: relu(x + w3 relu(w2 relu(w1 x)))."""
    resnet = ResNet(ResNetConfig((2, 1, 1, 1), (4,), bottleneck=2, out=4, dilations=(1,)))
    block, x = resnet.stages[0][1], torch.randn(1, 4, 5, 5)
    weights = [conv.conv.weight for conv in block.convs]
    inner = F.relu(F.conv2d(x, weights[0]))
    inner = F.relu(F.conv2d(inner, weights[1], padding=1))
    expected = F.relu(x + F.conv2d(inner, weights[2]))
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)
