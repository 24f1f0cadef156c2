"""What is learned: which tables it replaces, how many numbers it is, where points start."""

import pytest
import torch

from segtune.backbones.seem.model import random_seem
from segtune.systems.ssprompt.config import SSPROMPT, SSPromptConfig, configure
from segtune.systems.ssprompt.prompts import (
    LearnedPrompts,
    PointGrid,
    SemanticPrompt,
    SpatialPrompt,
    rate_groups,
)
from segtune.systems.ssprompt.text_prompts import ContextPrompt, NamePrompt

from .conftest import FIT, shaken


def num_learned(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("num_classes", "semantic", "both"),
    [(19, 9_747, 61_560), (59, 30_267, 82_080), (150, 76_950, 128_763)],
)
def test_numbers_of_the_paper_s_tables(num_classes, semantic, both):
    """Specification a.6, at the published sizes: 101 queries, D = k = 512."""
    spatial = SpatialPrompt(101, 512, SSPROMPT)
    words = SemanticPrompt(num_classes, 512, SSPROMPT)
    assert num_learned(spatial) == 51_813
    assert num_learned(words) == semantic
    assert num_learned(spatial) + num_learned(words) == both
    assert num_learned(PointGrid(10)) == 200


@pytest.mark.parametrize("target", ["content", "position", "both"])
def test_spatial_prompts_replace_the_tables_they_are_meant_for(target):
    content, position = torch.randn(6, 8), torch.randn(6, 8)
    prompt = SpatialPrompt(6, 8, SSPromptConfig(spatial_target=target))
    prompt.start(content, position, torch.Generator())
    assert all(map(torch.equal, prompt(content, position), (content, position)))
    assert num_learned(prompt) == (2 if target == "both" else 1) * (6 * 8 + 6)
    shaken(prompt)
    new_content, new_position = prompt(content, position)
    assert torch.equal(new_content, content) == (target == "position")
    assert torch.equal(new_position, position) == (target == "content")


@pytest.mark.parametrize("learn_background", [False, True])
def test_semantic_prompts_leave_the_background_alone_unless_asked(learn_background):
    default, background = torch.randn(3, 8), torch.randn(8)
    prompt = SemanticPrompt(3, 8, SSPromptConfig(learn_background=learn_background))
    prompt.start(default, background, torch.Generator())
    assert all(map(torch.equal, prompt(default, background), (default, background)))
    assert num_learned(prompt) == (4 if learn_background else 3) * 9
    shaken(prompt)
    embeds, new_background = prompt(default, background)
    assert not torch.allclose(embeds, default)
    assert torch.equal(new_background, background) != learn_background


@pytest.mark.parametrize("learn_background", [False, True])
def test_renormalised_class_embeddings_have_unit_length(learn_background):
    config = SSPromptConfig(renormalize_text=True, learn_background=learn_background)
    default = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    prompt = SemanticPrompt(3, 8, config)
    prompt.start(default[:3], default[3], torch.Generator())
    torch.testing.assert_close(torch.vstack(prompt(default[:3], default[3])), default)
    shaken(prompt)
    plain = SemanticPrompt(3, 8, SSPromptConfig(learn_background=learn_background))
    plain.load_state_dict(prompt.state_dict())
    for new, raw in zip(
        prompt(default[:3], default[3]), plain(default[:3], default[3]), strict=True
    ):
        torch.testing.assert_close(new.norm(dim=-1), torch.ones(new.shape[:-1]))
        torch.testing.assert_close(new, raw / raw.norm(dim=-1, keepdim=True))


def test_points_start_on_a_regular_grid_and_stay_inside_of_the_image():
    grid = PointGrid(2)
    expected = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
    torch.testing.assert_close(grid().detach(), expected)
    torch.testing.assert_close(PointGrid(1)().detach(), torch.tensor([[0.5, 0.5]]))
    shaken(grid, by=100)
    assert ((grid() >= 0) & (grid() <= 1)).all()


@pytest.mark.parametrize(
    ("name", "spatial", "semantic"),
    [
        ("seem", type(None), type(None)),
        ("ssprompt", SpatialPrompt, SemanticPrompt),
        ("spaprompt", SpatialPrompt, type(None)),
        ("semprompt", type(None), SemanticPrompt),
        ("coop", type(None), ContextPrompt),
        ("locn", type(None), NamePrompt),
        ("vspl", PointGrid, type(None)),
    ],
)
def test_modules_and_rates_of_every_preset(seem, name, spatial, semantic):
    factors = {"spatial_lr_factor": 2.0, "semantic_lr_factor": 3.0, "context_lr_factor": 5.0}
    config = configure(name, {"classes": FIT, **factors})
    prompts = LearnedPrompts(config, seem)
    assert isinstance(prompts.spatial, spatial)
    assert isinstance(prompts.semantic, semantic)
    groups = rate_groups(prompts.rates(config), 0.1, 0.01)
    expected = []
    if prompts.spatial is not None:
        expected.append((list(prompts.spatial.parameters()), 0.2))
    if prompts.semantic is not None:
        rate = 0.5 if name in ("coop", "locn") else 0.3
        expected.append((list(prompts.semantic.parameters()), rate))
    assert len(groups) == len(expected)
    for group, (parameters, rate) in zip(groups, expected, strict=True):
        assert list(map(id, group["params"])) == list(map(id, parameters))
        assert group["lr"] == pytest.approx(rate)
        assert group["weight_decay"] == 0.01


def test_without_classes_there_is_nothing_semantic_to_learn(seem):
    for name, semantic in (("semprompt", 0), ("locn", 0), ("coop", 16 * 32)):
        assert num_learned(LearnedPrompts(configure(name), seem)) == semantic
    tokenizer_free = LearnedPrompts(configure("ssprompt", {"classes": FIT}), random_seem())
    assert num_learned(tokenizer_free.semantic) == 3 * 17
