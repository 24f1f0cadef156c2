"""Swin against the one of transformers, on maps that do not fill their windows."""

from dataclasses import replace

import pytest
import torch
from transformers import MaskFormerSwinConfig
from transformers.models.maskformer.modeling_maskformer_swin import MaskFormerSwinBackbone

from segtune.backbones.encoders.files import SWIN_HF, joined_attention
from segtune.backbones.encoders.swin import Swin, SwinConfig, same_region
from segtune.backbones.reading.key_tables import load_strictly, rename_keys
from segtune.errors import SegtuneError

BACKBONE = ((r"^model\.", ""), (r"^hidden_states_norms\.(stage)?(\d)\.", r"output_norms.\2."))
"""What a backbone of transformers calls otherwise than its classifier."""


@pytest.mark.parametrize("size", [(64, 64), (40, 56), (36, 100)])
def test_the_same_as_in_transformers(size):
    torch.manual_seed(0)
    sizes = {"embed_dim": 8, "depths": [2, 1, 2, 2], "num_heads": [1, 2, 2, 4], "window_size": 3}
    stages = [f"stage{i}" for i in range(1, 5)]
    reference = MaskFormerSwinBackbone(MaskFormerSwinConfig(**sizes, out_features=stages)).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = joined_attention(rename_keys(rename_keys(reference.state_dict(), BACKBONE), SWIN_HF))
    swin = Swin(SwinConfig(8, (2, 1, 2, 2), (1, 2, 2, 4), window=3))
    load_strictly(swin, state, "transformers")
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = reference(images).feature_maps
        found = swin(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def test_sizes_round_up():
    swin = Swin(SwinConfig(8, (1, 1, 1, 1), (1, 1, 1, 1), window=4))
    sizes = [tuple(level.shape[-2:]) for level in swin(torch.zeros(1, 3, 37, 50))]
    assert sizes == [(10, 13), (5, 7), (3, 4), (2, 2)]


def test_who_may_look_at_whom_after_a_shift():
    """A row of four tokens, windows of two, shifted by one: 1 2 | 3 0."""
    is_open = same_region(1, 2, 2, 1, torch.device("cpu"))
    assert is_open.shape == (2, 4, 4)
    upper_left, upper_right = is_open[0], is_open[1]
    # Rows wrap around too, so the lower half of each window is another region.
    assert upper_left.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]
    assert torch.equal(upper_right, torch.eye(4, dtype=torch.bool))


def test_parameter_count_of_swin_b():
    with torch.device("meta"):
        swin = Swin(SwinConfig())
    assert sum(p.numel() for p in swin.parameters()) / 1e6 == pytest.approx(86.9, abs=0.05)


DROPPING = SwinConfig(8, (1, 1, 2, 1), (1, 1, 2, 2), window=4, drop_path=0.5)


def test_stochastic_depth_is_off_in_eval_mode():
    torch.manual_seed(0)
    plain, dropping = Swin(replace(DROPPING, drop_path=0.0)), Swin(DROPPING).eval()
    load_strictly(dropping, plain.state_dict(), "plain")  # and changes no key
    images = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(dropping(images), plain.eval()(images), strict=True):
        assert torch.equal(ours, theirs)
    dropping.train()
    assert not torch.equal(dropping(images)[-1], plain(images)[-1])
    for ours, theirs in zip(plain.train()(images), plain.eval()(images), strict=True):
        assert torch.equal(ours, theirs)


def test_stochastic_depth_rises_over_the_blocks():
    swin = Swin(DROPPING)
    assert [b.drop_path for stage in swin.stages for b in stage] == [0, 0.125, 0.25, 0.375, 0.5]
    assert SwinConfig(drop_path=0.3).drop_paths[::23] == (0.0, 0.3)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    block = Swin(DROPPING).stages[-1][0].train()
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 2, 3)
    kept = block._kept(branch)
    assert kept.unique().tolist() == [0.0, 2.0]
    assert (kept.flatten(1).var(1) == 0).all()  # all of an image, or nothing of it
    assert kept.mean().item() == pytest.approx(1, abs=0.06)  # four standard errors


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_drop_paths_that_make_no_sense(value):
    with pytest.raises(SegtuneError, match=f"drop_path={value}"):
        SwinConfig(drop_path=value)
