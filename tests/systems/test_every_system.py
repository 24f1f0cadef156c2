"""The battery that systems on a CLIP, or on a pair with one, pass; a new one adds a line."""

import pytest
import torch

from segtune.errors import WeightsError
from segtune.ops.postprocess import label_pixels
from segtune.systems import SYSTEMS, build_system, systems_for
from segtune.systems.base import Targets, Words
from segtune.types import Geometry

CASES = {
    "rpn": {"variant": "paper", "train_grid": (4, 4)},
    "rpn released": {"variant": "released", "train_grid": (4, 4), "static_tokens": 3},
    "zegclip": {"decoder_heads": 4},
    "zegclip shallow": {"variant": "shallow", "decoder_heads": 4},
    "vpt": {},
    "vpt shallow": {"variant": "shallow"},
    "lora": {"lora_rank": 2},
    "lpm": {},
    "ovseg": {},
    "ovseg shallow": {"prompt_depth": 1, "regions_at_once": 2},
    "simbaseline": {"prefix_tokens": 4},
    "simbaseline around": {"prefix_tokens": 2, "suffix_tokens": 3, "words_for": "regions"},
}


@pytest.fixture
def backbones(tiny_clip, tiny_pair):
    return {"clip-vit": tiny_clip, "two-stage": tiny_pair}


def build(name, backbones, *, seed):
    backbone = backbones[SYSTEMS[name.split()[0]].kinds[0]]
    return build_system(name.split()[0], backbone, CASES[name], seed=seed)


@pytest.fixture(params=CASES)
def system(request, backbones):
    return build(request.param, backbones, seed=3)


def some_words(count):
    embeds = torch.nn.functional.normalize(torch.randn(count, 16), dim=-1)
    return Words(embeds, names=tuple(f"class {i}" for i in range(count)))


@pytest.fixture
def words():
    return some_words(5)


def test_the_list_is_complete(backbones):
    learners = {name for kind in backbones for name in systems_for(kind)}
    assert {name.split()[0] for name in CASES} == learners


def test_backward_reaches_the_prompts_only(system, words):
    system.train()
    labels = torch.randint(-1, 5, (2, 32, 32))
    losses = system.loss(system.encode(torch.rand(2, 3, 32, 32) * 255), words, Targets(labels))
    sum(losses.values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in system.backbone.parameters())
    without = {name for name, p in system.prompts.named_parameters() if p.grad is None}
    last = f"head.layers.{getattr(system.config, 'decoder_layers', 0) - 1}."
    # ZegCLIP reads only the attention logits of its last decoder layer.
    unread = {n for n in without if n.startswith(last) or ".w_noise" in n}
    assert without <= unread | {n for n in without if n.startswith("experts.")}
    assert sum(p.numel() for p in system.parameters() if p.requires_grad) == system.num_learned()


def test_frozen_stays_in_evaluation_mode(system):
    system.train()
    assert system.prompts.training
    assert not any(module.training for module in system.backbone.modules())
    system.train(False)
    assert not system.prompts.training


@pytest.mark.parametrize("cells", [(4, 4), (3, 7), (1, 1)])
def test_any_image_size(system, words, cells):
    size = (cells[0] * system.stride, cells[1] * system.stride)
    features = system.encode(torch.rand(2, 3, *size) * 255)
    geometry = Geometry(size, size, size)
    with torch.no_grad():
        predictions = system.predict(features, words, [geometry, geometry])
    grid = (size[0] // 8, size[1] // 8) if system.stride == 8 else (size[0] // 4, size[1] // 4)
    for prediction in predictions:
        dense = prediction.pixel_logits
        scores = prediction.mask_logits if dense is None else dense
        assert tuple(scores.shape[1:]) == grid
        assert torch.isfinite(scores).all()
        assert label_pixels(prediction).class_ids.shape == size


def test_batching_changes_nothing(system, words):
    pixels = torch.rand(3, 3, 32, 32) * 255
    with torch.no_grad():
        together = system(system.encode(pixels), words)
        apart = torch.cat([system(system.encode(p[None]), words) for p in pixels])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_vocabularies_of_any_size_without_rebuilding(system, count):
    with torch.no_grad():
        scores = system(system.encode(torch.zeros(1, 3, 32, 32)), some_words(count))
    classes = 1 if system.backbone.kind == "clip-vit" else 2
    assert scores.shape[classes] == count


def test_learned_tensors_make_an_equal_system(system, words):
    with torch.no_grad():
        for parameter in system.prompts.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    other = build_system(system.name, system.backbone, system.config_values(), seed=9)
    other.load_learned(system.learned())
    features = system.encode(torch.rand(1, 3, 32, 32) * 255)
    with torch.no_grad():
        assert torch.equal(system(features, words), other(features, words))


def test_prompts_of_another_shape_are_refused(system):
    tensors = system.learned()
    name = next(iter(tensors))
    with pytest.raises(WeightsError, match="do not fit"):
        system.load_learned({key: value for key, value in tensors.items() if key != name})
    with pytest.raises(WeightsError, match="instead of"):
        system.load_learned(tensors | {name: torch.zeros(7, 7, 7, 7)})


def test_same_seed_same_start(backbones):
    for name in CASES:
        a, b, c = (build(name, backbones, seed=seed).learned() for seed in (0, 0, 1))
        assert all(torch.equal(a[key], b[key]) for key in a)
        assert any(not torch.equal(a[key], c[key]) for key in a)


def test_text_encoder_is_never_called_by_the_loss(system, words, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the text tower ran")

    monkeypatch.setattr(type(system.backbone), "encode_text", refuse)
    system.train()
    system.loss(
        system.encode(torch.zeros(1, 3, 32, 32)), words, Targets(torch.zeros(1, 32, 32).long())
    )


def test_an_unlabelled_batch_has_a_finite_loss(system, words):
    labels = torch.full((1, 32, 32), -1)
    losses = system.loss(system.encode(torch.zeros(1, 3, 32, 32)), words, Targets(labels))
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rpn", "rpn released", "zegclip", "vpt"])
def test_fifty_steps_learn_four_images_by_heart(name):
    """Random CLIP, four images: better than 95 % of the seen pixels (specification, check 10)."""
    from segtune.backbones.clip.random import random_clip_vit

    clip = random_clip_vit(width=64, layers=3, image_size=32, patch_size=4, joint_width=32)
    options = CASES[name] | {"train_grid": (8, 8)} if name.startswith("rpn") else CASES[name]
    system = build_system(name.split()[0], clip, options)
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 3, (4, 4, 4), generator=generator)
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    colours = torch.tensor([[230.0, 30, 30], [30, 200, 60], [40, 60, 220]])
    pixels = colours[labels].permute(0, 3, 1, 2) + 20 * torch.randn(
        4, 3, 32, 32, generator=generator
    )
    words = Words(torch.nn.functional.normalize(torch.randn(3, 32, generator=generator), dim=-1))
    features = system.encode(pixels)
    optimizer = torch.optim.AdamW(system.prompts.parameters(), lr=5e-3)
    system.train()
    torch.manual_seed(0)
    for _ in range(50):
        optimizer.zero_grad()
        sum(system.loss(features, words, Targets(labels)).values()).backward()
        optimizer.step()
    system.train(False)
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(system(features, words), (32, 32), mode="bilinear")
    centres = (logits.argmax(1) == labels)[:, 2::4, 2::4]
    assert centres.float().mean() > 0.95


def test_strict_masking_leaves_ignored_pixels_out(tiny_clip, words):
    system = build_system("lpm", tiny_clip, {})
    strict = build_system("lpm", tiny_clip, {"mask_ignored": True})
    features = system.encode(torch.rand(1, 3, 32, 32) * 255)
    labels = torch.full((1, 32, 32), -1)
    labels[:, :16] = 2
    losses = [
        each.loss(features, words, Targets(labels))["loss_mask"].item() for each in (strict, system)
    ]
    assert losses[0] != pytest.approx(losses[1])
