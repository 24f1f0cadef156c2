import pytest
import torch
from torch import nn

from segtune.backbones.encoders.convnext import ConvNext, ConvNextConfig
from segtune.errors import SegtuneError

SMALL = ConvNextConfig((1, 2, 1, 1), (4, 8, 12, 16), kernel=3)


def test_a_block_is_the_plain_formula():
    torch.manual_seed(0)
    block = ConvNext(SMALL).stages[1][0]
    nn.init.normal_(block.scale)
    x = torch.randn(2, 8, 5, 6)
    y = nn.functional.conv2d(x, block.conv.weight, block.conv.bias, padding=1, groups=8)
    mean, var = y.mean(1, keepdim=True), y.var(1, keepdim=True, unbiased=False)
    y = (y - mean) / (var + 1e-6).sqrt()
    y = nn.functional.conv2d(y, block.expand.weight[:, :, None, None], block.expand.bias)
    y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
    y = nn.functional.conv2d(y, block.shrink.weight[:, :, None, None], block.shrink.bias)
    torch.testing.assert_close(block(x), x + y * block.scale[:, None, None])


def test_maps_far_from_the_border_do_not_depend_on_the_size():
    """Every position sees the same neighbours; only padding differs."""
    torch.manual_seed(0)
    net = ConvNext(ConvNextConfig((1,), (4,), kernel=3))
    image = torch.randn(1, 3, 64, 64)
    whole, part = net(image)[0], net(image[..., :32, :32])[0]
    torch.testing.assert_close(whole[..., :7, :7], part[..., :7, :7])


def test_sizes_that_do_not_fit():
    with pytest.raises(SegtuneError, match="differ in length"):
        ConvNextConfig((1, 1), (4, 8, 8))
    with pytest.raises(SegtuneError, match="40x64 but a ConvNeXt needs multiples of 32"):
        ConvNext(SMALL)(torch.zeros(1, 3, 40, 64))
