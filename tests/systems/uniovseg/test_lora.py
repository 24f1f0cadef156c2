"""Low-rank layers against the public ones, and what merging promises."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segtune.systems.uniovseg.lora import LowRank, merged
from tests.goldens import close, goldens


def layer(state, alpha):
    """A frozen layer and its addition from the official tensors."""
    rank = len(state["lora_A"])
    out_width, in_width = state["weight"].shape
    linear, low_rank = (
        nn.Linear(in_width, out_width),
        LowRank(in_width, out_width, rank=rank, alpha=alpha),
    )
    linear.load_state_dict({"weight": state["weight"], "bias": state["bias"]})
    low_rank.load_state_dict({"down": state["lora_A"], "up": state["lora_B"]})
    return linear, low_rank


@pytest.mark.golden
@pytest.mark.parametrize("is_merged", [False, True])
def test_official_layers(is_merged):
    for golden in goldens("uniovseg_lora"):
        x, sizes = golden["inputs.x"], golden.config
        suffix = "_merged" if is_merged else ""

        def apply(name, x, alpha=1, golden=golden):
            linear, low_rank = layer(golden.part(f"state_dict.{name}"), alpha)
            if is_merged:
                return merged(linear, low_rank)(x)
            return linear(x) + low_rank(x)

        close(apply("linear", x, sizes["alpha"]), golden[f"outputs.linear{suffix}"])
        hidden = F.relu(apply("mlp.layers.1", F.relu(apply("mlp.layers.0", x))))
        close(apply("mlp.layers.2", hidden), golden[f"outputs.mlp{suffix}"])
        branch = apply("ffn.linear2", F.relu(apply("ffn.linear1", x)))
        norm = golden.part("state_dict.ffn.norm")
        found = F.layer_norm(x + branch, x.shape[-1:], norm["weight"], norm["bias"])
        close(found, golden[f"outputs.ffn{suffix}"])


@pytest.mark.golden
def test_the_official_merged_matrix():
    for golden in goldens("uniovseg_lora"):
        linear, low_rank = layer(golden.part("state_dict.linear"), golden.config["alpha"])
        close(merged(linear, low_rank).weight, golden["outputs.linear_merged_weight"])


def test_an_addition_starts_as_nothing_and_leaves_the_layer_alone():
    torch.manual_seed(0)
    linear, low_rank = nn.Linear(6, 5, bias=False), LowRank(6, 5, rank=2, alpha=4.0)
    x, before = torch.randn(3, 6), linear.weight.clone()
    assert torch.equal(linear(x) + low_rank(x), linear(x))
    nn.init.normal_(low_rank.up)
    both = merged(linear, low_rank)
    torch.testing.assert_close(both(x), linear(x) + low_rank(x))
    assert torch.equal(linear.weight, before)
    assert low_rank.scale == 2.0
