"""The pixel decoder against the official code, and its attention against PyTorch's module."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segtune.backbones.decoders.fpn import TransformerFpn
from segtune.backbones.decoders.keys import FPN
from segtune.backbones.decoders.position import sine_positions
from segtune.backbones.reading.key_tables import load_strictly, rename_keys, reversed_rules
from segtune.backbones.seem.keys import pixel_decoder_config_from
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import close, goldens, notices_every_weight

CHANNELS = (4, 8, 12, 16)


def _tiny(**sizes):
    torch.manual_seed(0)
    values = {"hidden": 32, "mask_dim": 24, "num_layers": 2, "num_heads": 4, "feedforward": 40}
    return TransformerFpn(CHANNELS, **values | sizes)


def _maps(height, width, batch=2):
    sizes = [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32)]
    return [torch.randn(batch, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]


def compare(decoder, maps, out):
    multi_scale, mask_features = decoder(maps)
    close(mask_features, out["mask_features"])
    for index, level in enumerate(multi_scale):
        close(level, out[f"multi_scale_{index}"])


@pytest.mark.golden
def test_official_outputs():
    for golden in goldens("seem_pixel_decoder"):
        state, out = golden.part("state"), golden.part("out")
        sizes = pixel_decoder_config_from(state, num_heads=golden.config["nheads"])
        assert list(sizes["in_channels"]) == golden.config["channels"]
        decoder = TransformerFpn(**sizes)
        load_strictly(decoder, rename_keys(state, FPN), "seem_pixel_decoder")
        maps = [golden.part("in")[f"res{level}"] for level in range(2, 6)]
        close(decoder.encode(maps[-1]), out["transformer_encoder_features"])
        notices_every_weight(decoder, partial(compare, decoder, maps, out))
        back = rename_keys(decoder.state_dict(), reversed_rules(FPN))
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(("channels", "millions"), [(96, 31.5), (256, 32.7)])
def test_parameter_counts_of_the_published_sizes(channels, millions):
    with torch.device("meta"):
        decoder = TransformerFpn([channels * 2**i for i in range(4)])
    assert sum(p.numel() for p in decoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (61, 90)])
def test_sizes_and_gradients(size):
    decoder, maps = _tiny(), _maps(*size)
    multi_scale, mask_features = decoder(maps)
    assert mask_features.shape == (2, 24, *maps[0].shape[-2:])
    assert [m.shape for m in multi_scale] == [(2, 32, *m.shape[-2:]) for m in maps[:0:-1]]
    (mask_features.pow(2).sum() + sum(m.sum() for m in multi_scale)).backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_an_encoder_layer_against_multihead_attention():
    decoder = _tiny(num_layers=1)
    layer = decoder.layers[0]
    nn.init.normal_(layer.qkv.bias)
    attention = nn.MultiheadAttention(32, 4, batch_first=True)
    attention.in_proj_weight, attention.in_proj_bias = layer.qkv.weight, layer.qkv.bias
    attention.out_proj = layer.project_out
    coarsest = torch.randn(2, CHANNELS[-1], 3, 2)
    tokens = decoder.input_proj(coarsest).flatten(2).mT
    placed = tokens + sine_positions(3, 2, 16).flatten(1).T
    tokens = layer.norm1(tokens + attention(placed, placed, tokens, need_weights=False)[0])
    tokens = layer.norm2(tokens + layer.shrink(F.relu(layer.expand(tokens))))
    expected = tokens.mT.reshape(2, 32, 3, 2)
    torch.testing.assert_close(decoder.encode(coarsest), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sizes", [{"hidden": 33}, {"num_heads": 5}, {"groups": 20}])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(SegtuneError, match="multiple of"):
        _tiny(**sizes)


def test_sizes_are_read_from_official_keys():
    official = rename_keys(_tiny(num_layers=0).state_dict(), reversed_rules(FPN))
    assert pixel_decoder_config_from(official)["num_layers"] == 0
    with pytest.raises(WeightsError, match=r"nothing stands for adapter_1\.weight"):
        pixel_decoder_config_from({})
