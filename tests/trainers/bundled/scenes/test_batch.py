import numpy as np
import pytest
import torch

from segtune.data.formats import open_dataset
from segtune.trainers.bundled.scenes.batch import (
    MAX_CLICKS,
    MIN_MASK_PX,
    Batch,
    Batches,
    draw_prompts,
)
from segtune.trainers.bundled.scenes.seem_recipe import KIND, SeemRecipe, make_recipe
from segtune.types import IGNORE, Dataset

RECIPE = make_recipe(
    {
        "short_side": 64,
        "crop": 64,
        "batch": 3,
        "prompts_per_image": 4,
    }
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("synthetic:base?size=64&length=6&stuff_regions=1", split="val")


@pytest.fixture(scope="module")
def class_ids(dataset: Dataset) -> list[int]:
    return [i for i, concept in enumerate(dataset.vocabulary) if concept.group != "unseen"]


@pytest.fixture(scope="module")
def batch(dataset: Dataset, class_ids: list[int]) -> Batch:
    return Batches(dataset, RECIPE, class_ids)(0)


def test_shapes_and_ranges(batch: Batch, class_ids: list[int]) -> None:
    assert batch.pixels.shape == (3, 3, 64, 64)
    assert batch.pixels.min() >= 0
    assert batch.pixels.max() <= 255
    assert batch.labels.shape == (3, 64, 64)
    assert len(batch.targets) == len(batch.prompts) == 3
    assert batch.labels.min() >= IGNORE
    assert batch.labels.max() < len(class_ids)


def test_classes_are_numbered_like_the_training_words(
    dataset: Dataset, class_ids: list[int]
) -> None:
    """Unseen classes, which occur in this split, have neither labels nor masks."""
    every = list(range(len(dataset.vocabulary)))
    hidden = 0
    for step in range(4):
        full = Batches(dataset, RECIPE, every)(step)
        part = Batches(dataset, RECIPE, class_ids)(step)
        table = torch.full((len(every) + 1,), IGNORE)
        for word, class_id in enumerate(class_ids):
            table[class_id] = word
        assert torch.equal(part.labels, table[full.labels])
        assert torch.equal(part.pixels, full.pixels)
        for one, two in zip(full.targets, part.targets, strict=True):
            words = table[one.class_ids]
            hidden += int((words < 0).sum())
            assert torch.equal(two.class_ids, words[words >= 0])
            assert torch.equal(two.masks, one.masks[words >= 0])
    assert hidden > 0


def test_masks_are_large_enough_and_agree_with_the_labels(batch: Batch) -> None:
    for labels, targets in zip(batch.labels, batch.targets, strict=True):
        assert len(targets) > 0
        for class_id, mask in zip(targets.class_ids, targets.masks, strict=True):
            assert mask.sum() >= MIN_MASK_PX
            assert (labels[mask] == class_id).all()


def test_semantic_targets_are_one_mask_per_class(dataset: Dataset, class_ids: list[int]) -> None:
    recipe = make_recipe({**KIND.values(RECIPE), "targets": "semantic"})
    batch = Batches(dataset, recipe, class_ids)(0)
    for labels, targets in zip(batch.labels, batch.targets, strict=True):
        assert targets.class_ids.tolist() == sorted(set(labels.unique().tolist()) - {IGNORE})
        for class_id, mask in zip(targets.class_ids, targets.masks, strict=True):
            assert torch.equal(mask, labels == class_id)


def test_clicks_lie_in_their_masks(batch: Batch) -> None:
    for targets, prompts in zip(batch.targets, batch.prompts, strict=True):
        count, clicks, _ = prompts.points.shape
        assert count == RECIPE.prompts_per_image
        assert 1 <= clicks <= MAX_CLICKS
        for points, mask in zip(prompts.points, prompts.masks, strict=True):
            assert any(torch.equal(mask, known) for known in targets.masks)
            column, row = (points * 64).round().long().T
            assert mask[row, column].all()


def test_batches_are_a_function_of_seed_and_step(dataset: Dataset, class_ids: list[int]) -> None:
    def drawn(step: int, recipe: SeemRecipe = RECIPE) -> Batch:
        return Batches(dataset, recipe, class_ids)(step)

    torch.manual_seed(5)
    one = drawn(3)
    torch.manual_seed(6)
    assert_same(one, drawn(3))
    batches = Batches(dataset, RECIPE, class_ids)
    batches(0)
    assert_same(one, batches(3))
    assert not torch.equal(one.pixels, drawn(4).pixels)
    other_seed = make_recipe({**KIND.values(RECIPE), "seed": 1})
    assert not torch.equal(one.pixels, drawn(3, other_seed).pixels)


def assert_same(one: Batch, two: Batch) -> None:
    assert torch.equal(one.pixels, two.pixels)
    assert torch.equal(one.labels, two.labels)
    for a, b in zip(one.targets, two.targets, strict=True):
        assert torch.equal(a.class_ids, b.class_ids)
        assert torch.equal(a.masks, b.masks)
    for c, d in zip(one.prompts, two.prompts, strict=True):
        assert torch.equal(c.points, d.points)
        assert torch.equal(c.masks, d.masks)


def test_the_number_of_clicks_varies_between_steps(dataset: Dataset, class_ids: list[int]) -> None:
    batches = Batches(dataset, RECIPE, class_ids)
    counts = {batches(step).prompts[0].points.shape[1] for step in range(12)}
    assert len(counts) > 2


def test_prompts_of_one_pixel_and_of_nothing() -> None:
    rng = np.random.default_rng(0)
    masks = torch.zeros(1, 4, 8, dtype=torch.bool)
    masks[0, 3, 6] = True
    prompts = draw_prompts(masks, 2, 3, rng)
    assert torch.equal(prompts.points, torch.tensor([6 / 8, 3 / 4]).expand(2, 3, 2))
    assert torch.equal(prompts.masks, masks.expand(2, 4, 8))
    nothing = draw_prompts(masks[:0], 2, 3, rng)
    assert nothing.points.shape == (2, 3, 2)
    assert nothing.masks.shape == (2, 4, 8)
    assert nothing.masks.dtype == torch.bool
    assert not nothing.masks.any()
