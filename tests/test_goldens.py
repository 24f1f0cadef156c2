"""How goldens are compared: bounds follow the values, and no real mistake fits into them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.maskformer.files import maskformer_from_official
from segtune.backbones.maskformer.keys import NO_OBJECT
from tests.goldens import close, goldens, notices_every_weight

EPSILON = 2.0**-23


@pytest.mark.parametrize("scale", [1e-6, 1.0, 400.0])
def test_the_bound_follows_the_largest_value(scale):
    expected = scale * torch.tensor([[1.0, -0.5], [0.0, 0.25]])
    off = torch.zeros(2, 2, dtype=torch.float64)
    for row, column in ((0, 0), (1, 0)):  # the largest entry and the smallest one alike
        off[row, column] = 9 * EPSILON * scale
        close(expected.double() + off, expected, steps=10)
        with pytest.raises(AssertionError, match="not close"):
            close(expected.double() + off, expected, steps=8)
        off[row, column] = 0


def test_half_precision_counts_in_its_own_steps():
    exact = torch.linspace(-2, 2, 1001)
    close(exact, exact.half(), steps=1)
    with pytest.raises(AssertionError, match="not close"):
        close(exact * 1.01, exact.half(), steps=1)


def test_what_is_never_close():
    for actual, expected, reason in (
        (torch.zeros(2), torch.zeros(3), r"\(2,\) for \(3,\)"),
        (torch.zeros(1, 2), torch.zeros(2), r"\(1, 2\) for \(2,\)"),
        (torch.tensor([torch.nan]), torch.tensor([1.0]), "not close"),
        (torch.tensor([torch.inf]), torch.tensor([1.0]), "not close"),
        (torch.tensor([1.0]), torch.tensor([torch.nan]), "golden is not finite"),
        (torch.tensor([1e-30]), torch.tensor([0.0]), "not equal"),
    ):
        with pytest.raises(AssertionError, match=reason):
            close(actual, expected)
    close(torch.zeros(0, 3), torch.zeros(0, 3))


def test_a_weight_that_nothing_reads_is_named():
    class Half(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight)

    torch.manual_seed(0)
    linear, x = Half(4, 4), torch.randn(3, 4)
    expected = linear(x).detach()
    before = {name: tensor.clone() for name, tensor in linear.state_dict().items()}
    with pytest.raises(AssertionError, match=r"not noticed in \['bias'\]"):
        notices_every_weight(linear, lambda: close(linear(x), expected))
    assert all(torch.equal(linear.state_dict()[name], before[name]) for name in before)


# -- one weight that is 1 % off is noticed in every kind of model -------------------------------


@pytest.mark.golden
def test_clip_towers():
    golden = goldens("zegclip_vit", "vit_plain")[0]
    state = {f"visual.{key}": value for key, value in golden.part("state").items()}
    clip = clip_vit_from_official(state, vision_heads=golden.config["heads"])
    name, image = next(iter(golden.part("in").items()))
    out = golden.part(f"out.{name}")

    def compare() -> None:
        states = clip.hidden_states(clip.embed(image, class_embedding_twice=True))
        close(F.normalize(clip.to_joint(states[-1])[:, 0], dim=-1), F.normalize(out["cls"], dim=-1))

    # The same number on every key of a query leaves the softmax as it is.
    notices_every_weight(clip.model.vision_model, compare, without_effect=r"k_proj\.bias")
    golden = goldens("zegclip_text")[0]
    heads = golden.config["transformer_heads"]
    tower = clip_vit_from_official(golden.part("state"), text_heads=heads)
    tokens, embeds = golden["in.tokens"], golden["out.embed"]
    notices_every_weight(
        tower.model.text_model,
        lambda: close(tower.encode_text(tokens), embeds),
        without_effect=r"k_proj\.bias",
    )


@pytest.mark.golden
def test_maskformer():
    golden = goldens("ovseg_proposals")[0]
    state = golden.part("sd") | {NO_OBJECT: golden["in.text_features_with_noobject"][-1:]}
    model = maskformer_from_official(state, num_heads=golden.metadata["nheads"])
    words = golden["in.text_features_with_noobject"][:-1]

    def compare() -> None:
        coarsest, mask_features = model.features(golden["in.image"][None])
        last = model.decode(coarsest, mask_features)[-1]
        close(last.mask_logits, golden["out.mask_logits"])
        close(model.class_logits(last.query_embeds, words), golden["out.class_logits"])

    # Queries start at zero, so that all keys of the first self-attention are alike; a constant per
    # channel is taken off by a GroupNorm with a group for each.
    cancelled = r"output_norms\.[012]\.bias|query_decoder\.layers\.0\.self_attention\.qkv\.weight"
    notices_every_weight(model, compare, without_effect=cancelled)
