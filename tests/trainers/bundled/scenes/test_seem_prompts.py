"""The losses of clicks against one prompt at a time, written out."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.seem.model import Seem, random_seem
from segtune.backbones.seem.point_prompts import POSITIVE
from segtune.trainers.bundled.scenes.batch import PromptTargets
from segtune.trainers.bundled.scenes.seem_prompts import prompt_losses

CLICKS = 2


@pytest.fixture(scope="module")
def seem() -> Seem:
    return random_seem()


@pytest.fixture(scope="module")
def memory(seem: Seem) -> DecoderMemory:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    return seem.decoder.prepare(*seem.features(pixels))


def prompts(*, empty: tuple[int, ...] = ()) -> list[PromptTargets]:
    """Two prompts for each of two images; the masks of the images in `empty` are empty."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for image in range(2):
        masks = torch.rand(2, 64, 64, generator=generator) > 0.6
        points = torch.rand(2, CLICKS, 2, generator=generator)
        found.append(PromptTargets(points, masks & (image not in empty)))
    return found


def one_by_one(seem: Seem, memory: DecoderMemory, given: list[PromptTargets]) -> list[torch.Tensor]:
    """Mask loss and choice loss of every prompt that has a mask, (n, 2)."""
    assert seem.points is not None
    rows = []
    for image, prompt in enumerate(given):
        for points, mask in zip(prompt.points, prompt.masks, strict=True):
            if not mask.any():
                continue
            single = memory.rows([image])
            labels = torch.full((1, 1, CLICKS), POSITIVE)
            tokens = seem.points.tokens(single, points[None, None], labels)
            group = QueryGroup(seem.default_content, seem.default_position, tokens)
            output = seem.decoder.answer(single, [group])[0]
            truth = F.adaptive_avg_pool2d(mask[None].float(), output.mask_logits.shape[-2:])[0]
            fits = []
            for logits in output.mask_logits[0]:
                bce = F.binary_cross_entropy_with_logits(logits, truth)
                probs = logits.sigmoid()
                dice = 1 - (2 * (probs * truth).sum() + 1) / (probs.sum() + truth.sum() + 1)
                fits.append(5 * bce + 5 * dice)
            fit = torch.stack(fits)
            wanted = torch.zeros(single.mask_features.shape[1])
            for point in points:
                grid = (2 * point - 1).view(1, 1, 1, 2)
                wanted += F.grid_sample(single.mask_features, grid, align_corners=True).flatten()
            agreement = output.mask_embeds[0] @ (wanted / CLICKS)
            choice = -agreement.log_softmax(0)[fit.argmin()]
            rows.append(torch.stack([fit.min(), choice]))
    return rows


@pytest.mark.parametrize("empty", [(), (1,)])
def test_against_one_prompt_at_a_time(
    seem: Seem, memory: DecoderMemory, empty: tuple[int, ...]
) -> None:
    given = prompts(empty=empty)
    mask_loss, choice = torch.stack(one_by_one(seem, memory, given)).mean(0)
    found = prompt_losses(seem, memory, given)
    assert set(found) == {"prompt_mask", "prompt_choice"}
    torch.testing.assert_close(found["prompt_mask"], mask_loss)
    torch.testing.assert_close(found["prompt_choice"], choice)


def test_without_masks_there_is_nothing_to_learn(seem: Seem, memory: DecoderMemory) -> None:
    seem = random_seem()
    seem.decoder.requires_grad_(True)
    losses = prompt_losses(seem, memory, prompts(empty=(0, 1)))
    assert [value.item() for value in losses.values()] == [0, 0]
    torch.stack(list(losses.values())).sum().backward()
    gradients = [p.grad for p in seem.decoder.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)


def test_learning_makes_the_answer_to_clicks_better(memory: DecoderMemory) -> None:
    seem = random_seem()
    learned = [*seem.decoder.parameters(), *seem.points.parameters()]  # type: ignore[union-attr]
    for parameter in learned:
        parameter.requires_grad_(True)
    given = prompts()
    given = [PromptTargets(p.points, torch.zeros_like(p.masks)) for p in given]
    for prompt in given:
        prompt.masks[:, :, 32:] = True
    truth = torch.zeros(16, 16)
    truth[:, 8:] = 1
    points = torch.stack([p.points for p in given])

    def error() -> float:
        with torch.no_grad():
            probs = seem.segment_points(memory, points).mask_logits.sigmoid()
        return (probs - truth).abs().mean().item()

    before = error()
    optimizer = torch.optim.Adam(learned, lr=3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        torch.stack(list(prompt_losses(seem, memory, given).values())).sum().backward()
        optimizer.step()
    assert error() < 0.8 * before
