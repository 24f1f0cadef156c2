import pytest
import torch
import torch.nn.functional as F

from segtune.systems import build_system
from segtune.systems.base import Targets, Words
from segtune.systems.ovseg.loss import class_masks
from tests.goldens import close

NAMES = ("red", "green", "blue")


@pytest.fixture
def words():
    generator = torch.Generator().manual_seed(1)
    return Words(F.normalize(torch.randn(3, 16, generator=generator), dim=-1), names=NAMES)


def scene(*, seed=0):
    """An image of three coloured triangles on unlabelled ground, with its label map."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.full((1, 64, 64), -1)
    triangle = torch.ones(26, 26).tril().bool()  # half of its box is blank
    labels[0, 2:28, 2:28][triangle] = 0
    labels[0, 34:60, 4:30][triangle.flip(0)] = 1
    labels[0, 36:62, 34:60][triangle.flip(1)] = 2
    colours = torch.tensor([[220.0, 40, 40], [40, 200, 60], [50, 60, 230], [120, 120, 120]])
    pixels = colours[labels].permute(0, 3, 1, 2) + 10 * torch.randn(
        1, 3, 64, 64, generator=generator
    )
    return pixels.clamp(0, 255), labels


def test_loss_is_the_cross_entropy_of_every_annotated_region(tiny_pair, words):
    system = build_system("ovseg", tiny_pair, {"learns": "nothing", "blank_patches": "kept"})
    system.config = build_system("ovseg", tiny_pair).config
    pixels, labels = scene()
    loss = system.loss(system.encode_for_loss(pixels), words, Targets(labels))["loss_ce"]
    by_hand = []
    for class_id in range(3):
        region = system.reader.cut(pixels[0], (labels == class_id).float())
        embed = system.reader.clip_pass(region, None)
        by_hand.append(F.cross_entropy(100 * embed @ words.embeds.T, torch.tensor([class_id])))
    close(loss, torch.stack(by_hand).mean())


def test_only_what_is_annotated_counts():
    ids, masks = class_masks(torch.tensor([[5, -1], [-2, 5]]))
    assert ids.tolist() == [5]
    assert masks.tolist() == [[[1, 0], [0, 1]]]
    ids, masks = class_masks(torch.full((2, 2), -1))
    assert not len(ids)
    assert masks.shape == (0, 2, 2)


@pytest.mark.parametrize("name", ["ovseg", "simbaseline"])
def test_a_few_steps_learn_a_few_regions(tiny_pair, words, name):
    system = build_system(name, tiny_pair, seed=0)
    pixels, labels = scene()
    features = system.encode_for_loss(pixels)
    assert set(features.tensors) == {"pixels"}  # proposals play no part
    system.train()
    optimizer = torch.optim.AdamW(system.prompts.parameters(), lr=0.05)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = system.loss(features, words, Targets(labels))["loss_ce"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_proposals_do_not_run_in_a_fit(tiny_pair, words, monkeypatch):
    def refuse(*_args):
        raise AssertionError("the proposal network ran")

    monkeypatch.setattr(tiny_pair.proposals, "propose", refuse)
    system = build_system("ovseg", tiny_pair)
    pixels, labels = scene()
    system.loss(system.encode_for_loss(pixels), words, Targets(labels))
