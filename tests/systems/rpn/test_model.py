"""Prompted CLIPs beyond what every system promises: what they read, and what they can learn."""

import pytest
import torch

from segtune.ops.postprocess import label_pixels
from segtune.systems import SYSTEMS, build_system, systems_for
from segtune.systems.base import Targets, Words
from segtune.types import Geometry

CASES = [(name, case) for name in systems_for("clip-vit") for case in SYSTEMS[name].cases]
IDS = [f"{name} {case.name}".strip() for name, case in CASES]


@pytest.fixture(params=CASES, ids=IDS)
def system(request, tiny_clip):
    name, case = request.param
    return build_system(name, tiny_clip, case.options, seed=3)


@pytest.fixture
def words():
    embeds = torch.nn.functional.normalize(torch.randn(5, 16), dim=-1)
    return Words(embeds, names=tuple(f"class {i}" for i in range(5)))


@pytest.mark.parametrize("cells", [(4, 4), (3, 7), (1, 1)])
def test_one_score_per_patch_and_word(system, words, cells):
    size = (8 * cells[0], 8 * cells[1])
    features = system.encode(torch.rand(1, 3, *size) * 255)
    with torch.no_grad():
        [prediction] = system.predict(features, words, [Geometry(size, size, size)])
    assert prediction.pixel_logits.shape == (5, *cells)
    assert label_pixels(prediction).class_ids.shape == size


def test_text_encoder_is_never_called_by_the_loss(system, words, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the text tower ran")

    monkeypatch.setattr(type(system.backbone), "encode_text", refuse)
    system.train()
    labels = torch.zeros(1, 32, 32).long()
    system.loss(system.encode(torch.zeros(1, 3, 32, 32)), words, Targets(labels))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rpn", {"variant": "paper", "train_grid": (8, 8)}),
        ("rpn", {"variant": "released", "train_grid": (8, 8), "static_tokens": 3}),
        ("zegclip", {"decoder_heads": 4}),
        ("vpt", {}),
    ],
)
def test_fifty_steps_learn_four_images_by_heart(name, options):
    """Random CLIP, four images: better than 95 % of the seen pixels (specification, check 10)."""
    from segtune.backbones.clip.random import random_clip_vit

    clip = random_clip_vit(width=64, layers=3, image_size=32, patch_size=4, joint_width=32)
    system = build_system(name, clip, options)
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
