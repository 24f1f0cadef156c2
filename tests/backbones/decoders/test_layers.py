"""Norms of maps; attention and FFN are tested with the decoders that are made of them."""

import torch
from torch import nn

from segtune.backbones.decoders.layers import ChannelNorm, ConvGroupNorm


def test_channel_norm_treats_every_position_alone():
    torch.manual_seed(0)
    norm, x = ChannelNorm(6), torch.randn(2, 6, 3, 4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    at = x[1, :, 2, 3]
    expected = (at - at.mean()) / (at.var(correction=0) + 1e-6).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(norm(x)[1, :, 2, 3], expected)


def test_conv_group_norm_keeps_the_size():
    torch.manual_seed(0)
    block, x = ConvGroupNorm(4, 8, kernel=3, groups=2), torch.randn(1, 4, 5, 7)
    found = block(x)
    assert found.shape == (1, 8, 5, 7)
    torch.testing.assert_close(found[:, :4].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert list(block.state_dict()) == ["conv.weight", "norm.weight", "norm.bias"]
