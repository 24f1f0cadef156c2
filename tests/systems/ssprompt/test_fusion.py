"""Equations 4 and 6: formulas by hand, where each choice starts, and how its weights learn."""

import math
from itertools import product

import pytest
import torch

from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.fusion import INIT_STD, FusedEmbeddings

WEIGHT_INITS = (0.0, 0.3, 0.5, 1.0, 2.5)
SHAPES = ("scalar", "channel", "global")
PARAMS = ("raw", "clamp01", "sigmoid")


def default_embeds(count=5, width=8):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1))


def fused(default, **options):
    module = FusedEmbeddings(*default.shape, SSPromptConfig(**options))
    module.start(default, torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize(
    ("fusion", "shape", "learned"),
    [
        ("convex", "scalar", 5 * 8 + 5),
        ("convex", "channel", 5 * 8 + 5 * 8),
        ("convex", "global", 5 * 8 + 1),
        ("additive", "scalar", 5 * 8 + 5),
        ("average", "scalar", 5 * 8),
        ("replace", "channel", 5 * 8),
    ],
)
def test_how_many_numbers_are_learned(fusion, shape, learned):
    module = fused(default_embeds(), fusion=fusion, weight_shape=shape)
    assert sum(p.numel() for p in module.parameters()) == learned
    assert module.weights().expand(5, 8).shape == (5, 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_formulas_on_numbers(shape):
    """One prompt (2, 4), learned (6, 0), weight 1/4 or (1/4, 1/2)."""
    z, e = torch.tensor([[2.0, 4.0]]), torch.tensor([[6.0, 0.0]])
    w = torch.tensor([[0.25, 0.5]]) if shape == "channel" else torch.tensor([[0.25]])
    expected = {
        "convex": [[5.0, 2.0]] if shape == "channel" else [[5.0, 1.0]],
        "additive": [[6.5, 2.0]] if shape == "channel" else [[6.5, 1.0]],
        "average": [[4.0, 2.0]],
        "replace": [[6.0, 0.0]],
    }
    for fusion, values in expected.items():
        module = fused(z, fusion=fusion, weight_shape=shape)
        module.embeds.data = e
        if module.weight is not None:
            module.weight.data = w
        assert module(z).tolist() == values, fusion


@pytest.mark.parametrize(
    ("param", "stored", "used"),
    [
        ("raw", -0.5, -0.5),
        ("raw", 1.5, 1.5),
        ("clamp01", -0.5, 0.0),
        ("clamp01", 0.3, 0.3),
        ("clamp01", 1.5, 1.0),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", 2.0, 1 / (1 + math.exp(-2))),
    ],
)
def test_weights_of_stored_numbers(param, stored, used):
    module = fused(default_embeds(), weight_param=param)
    module.weight.data.fill_(stored)
    assert module.weights().unique().item() == pytest.approx(used)


@pytest.mark.parametrize(("param", "init"), list(product(PARAMS, (0.0, 0.2, 0.5, 1.0))))
def test_weights_start_where_asked(param, init):
    weights = fused(default_embeds(), weight_param=param, weight_init=init).weights()
    assert weights.unique().item() == pytest.approx(init, abs=2e-4)


@pytest.mark.parametrize(
    ("shape", "param", "init"), list(product(SHAPES, PARAMS, WEIGHT_INITS)), ids=str
)
def test_copy_with_convex_starts_at_the_default_bit_for_bit(shape, param, init):
    default = default_embeds()
    module = fused(default, weight_shape=shape, weight_param=param, weight_init=init)
    assert torch.equal(module(default), default)


@pytest.mark.parametrize("fusion", ["average", "replace"])
def test_copy_with_fixed_weights_starts_at_the_default_bit_for_bit(fusion):
    default = default_embeds()
    assert torch.equal(fused(default, fusion=fusion)(default), default)


@pytest.mark.parametrize(("shape", "param"), list(product(SHAPES, ("raw", "clamp01"))))
def test_additive_zeros_with_weight_one_starts_at_the_default_bit_for_bit(shape, param):
    default = default_embeds()
    options = {"weight_shape": shape, "weight_param": param, "weight_init": 1.0}
    module = fused(default, fusion="additive", embed_init="zeros", **options)
    assert torch.equal(module(default), default)


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "additive"},
        {"fusion": "additive", "embed_init": "zeros"},  # the weight starts at 1/2
        {"fusion": "convex", "embed_init": "zeros"},
        {"fusion": "average", "embed_init": "zeros"},
        {"fusion": "replace", "embed_init": "zeros"},
        {"fusion": "convex", "embed_init": "noise"},
        {"fusion": "convex", "embed_init": "normal"},
        {"fusion": "replace", "embed_init": "normal"},
    ],
    ids=str,
)
def test_the_other_choices_start_elsewhere(options):
    default = default_embeds()
    assert not torch.allclose(fused(default, **options)(default), default)


def test_random_starts_have_the_stated_deviation_and_follow_the_generator():
    default = default_embeds(200, 100)
    for init, middle in (("normal", torch.zeros_like(default)), ("noise", default)):
        offset = fused(default, embed_init=init).embeds.detach() - middle
        assert offset.std().item() == pytest.approx(INIT_STD, rel=0.02)
        assert offset.mean().abs() < 1e-3
        assert torch.equal(
            fused(default, embed_init=init).embeds, fused(default, embed_init=init).embeds
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_weight_waits_for_the_embeddings_to_move(shape):
    """copy: the gradient of w is <g, z - e>, zero in the first step and not after it."""
    default = default_embeds()
    module = fused(default, weight_shape=shape)
    wanted = torch.randn(default.shape, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    norms = []
    for _ in range(2):
        optimizer.zero_grad()
        (module(default) - wanted).square().sum().backward()
        norms.append(module.weight.grad.abs().max().item())
        optimizer.step()
    assert norms[0] == 0
    assert norms[1] > 1e-3


def test_noise_lets_the_weight_learn_at_once():
    default = default_embeds()
    module = fused(default, embed_init="noise")
    module(default).square().sum().backward()
    assert module.weight.grad.abs().min() > 0


@pytest.mark.parametrize("fusion", ["convex", "additive"])
def test_gradients_are_those_of_the_printed_formula(fusion):
    default = default_embeds()
    module = fused(default, fusion=fusion, embed_init="normal", weight_init=0.3)
    w, e = (p.detach().clone().requires_grad_() for p in (module.weight, module.embeds))
    plain = w * default + (1 - w) * e if fusion == "convex" else w * default + e
    torch.testing.assert_close(module(default), plain)
    module(default).pow(3).sum().backward()
    plain.pow(3).sum().backward()
    torch.testing.assert_close(module.embeds.grad, e.grad)
    torch.testing.assert_close(module.weight.grad, w.grad)


def test_any_fixed_weight_reaches_any_prompt():
    """Appendix of the specification: the fusions span the same functions."""
    default, wanted = default_embeds(), default_embeds().flip(0)
    learned = {
        "convex": (wanted - 0.3 * default) / 0.7,
        "additive": wanted - 0.3 * default,
        "average": 2 * wanted - default,
        "replace": wanted,
    }
    for fusion, embeds in learned.items():
        module = fused(default, fusion=fusion, weight_init=0.3)
        module.embeds.data = embeds
        torch.testing.assert_close(module(default).detach(), wanted)


def test_no_prompts_at_all():
    default = torch.zeros(0, 8)
    assert fused(default)(default).shape == (0, 8)
