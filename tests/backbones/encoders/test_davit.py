"""DaViT against the official code, and what the goldens do not show."""

from functools import partial

import pytest
import torch

from segtune.backbones.encoders.davit import DaViT, DaViTConfig
from segtune.backbones.encoders.keys import DAVIT, davit_config_from
from segtune.backbones.reading.key_tables import load_strictly, rename_keys, reversed_rules
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import close, goldens, notices_every_weight

TINY = DaViTConfig((8, 16, 32, 64), (1, 1, 2, 1), num_heads=(1, 2, 4, 8), num_groups=(2, 2, 4, 8))
D5 = DaViTConfig(
    channels=(256, 512, 1024, 2048),
    num_heads=(8, 16, 32, 64),
    num_groups=(8, 16, 32, 64),
    patch_sizes=(7, 3, 3, 3),
    patch_padding=(3, 1, 1, 1),
)


def compare(net, golden):
    for index, level in enumerate(net(golden.part("in")["pixel_values"])):
        close(level, golden.part("out")[f"res{index + 2}"])


@pytest.mark.golden
def test_official_outputs():
    for golden in goldens("seem_davit"):
        official, state = (
            golden.config["official_config"]["BACKBONE"]["DAVIT"],
            golden.part("state"),
        )
        config = davit_config_from(
            state,
            num_heads=tuple(official["NUM_HEADS"]),
            num_groups=tuple(official["NUM_GROUPS"]),
        )
        assert config.depths == tuple(official["DEPTHS"])
        assert config.patch_padding == tuple(official["PATCH_PADDING"])
        assert config.patch_strides == tuple(official["PATCH_STRIDE"])
        assert config.patch_prenorm == tuple(official["PATCH_PRENORM"])
        net = DaViT(config)
        load_strictly(net, rename_keys(state, DAVIT), "seem_davit")
        notices_every_weight(net, partial(compare, net, golden))
        back = rename_keys(net.state_dict(), reversed_rules(DAVIT))
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(("config", "millions"), [(DaViTConfig(), 86.9), (D5, 360.6)])
def test_parameter_counts_of_the_published_sizes(config, millions):
    with torch.device("meta"):
        net = DaViT(config)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (61, 90)])
@pytest.mark.parametrize("batch", [1, 2])
def test_sizes_and_gradients(size, batch):
    net = DaViT(TINY)
    levels = net(torch.randn(batch, 3, *size))
    assert [level.shape[:2] for level in levels] == [(batch, c) for c in TINY.channels]
    if size[1] % 32 == 0:
        for stride, level in zip((4, 8, 16, 32), levels, strict=True):
            assert level.shape[-2:] == (size[0] // stride, size[1] // stride)
    sum(level.pow(2).sum() for level in levels).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_sizes_are_read_from_official_keys():
    official = rename_keys(DaViT(TINY).state_dict(), reversed_rules(DAVIT))
    read = davit_config_from(official, num_heads=TINY.num_heads, num_groups=TINY.num_groups)
    assert read == TINY
    assert davit_config_from(official).num_heads == (1, 1, 1, 2)  # 32 channels each
    with pytest.raises(WeightsError, match="no block found"):
        davit_config_from({})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": (1, 1)}, "different lengths"),
        ({"num_heads": (3, 3, 3, 3)}, "cannot be split into"),
        ({"num_groups": (4, 8, 16, 31)}, "groups"),
    ],
)
def test_bad_sizes_are_refused(wrong, message):
    with pytest.raises(SegtuneError, match=message):
        DaViTConfig(**wrong)
