import numpy as np
import pytest
import torch

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.trainers.segprompt.batches import Batch, Batches, class_sets, with_objects
from segtune.types import Concept, Instance, Sample, Vocabulary


def same(one: Batch, two: Batch) -> bool:
    return torch.equal(one.pixels, two.pixels) and one.seeds == two.seeds and one.seed == two.seed


def test_a_batch_is_a_function_of_the_step(recipe):
    dataset = open_dataset(recipe.data, split="train")
    batches = Batches(dataset, recipe)
    later = batches(5)
    assert same(batches(0), Batches(dataset, recipe)(0))
    assert same(batches(5), later)
    assert not same(batches(0), later)
    batch = batches(0)
    assert batch.pixels.shape == (2, 3, 64, 64)
    assert all(image.objects.masks.shape[1:] == (64, 64) for image in batch.images)


def test_processes_share_a_batch(recipe):
    dataset = open_dataset(recipe.data, split="train")
    whole = Batches(dataset, recipe)(3)
    parts = [Batches(dataset, recipe, rank=rank, processes=2)(3) for rank in range(2)]
    assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
    assert [seed for part in parts for seed in part.seeds] == whole.seeds
    assert {part.seed for part in parts} == {whole.seed}
    with pytest.raises(SegtuneError, match="batch=2 cannot be shared by 3"):
        Batches(dataset, recipe, processes=3)


def test_every_image_once_per_pass(recipe):
    batches = Batches(open_dataset(recipe.data, split="train"), recipe)
    for number in range(2):
        picks = [batches._pick(6 * number + place) for place in range(6)]
        assert sorted(picks) == list(range(6))


def test_only_named_things_that_are_no_crowds_are_learned():
    words = Vocabulary((Concept("car"), Concept("grass", kind="stuff")))
    mask = np.ones((2, 2), bool)
    items = tuple(Instance(i, mask, crowd) for i, crowd in ((0, False), (0, True), (1, False)))
    sample = Sample("a", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int32), items)
    found = with_objects(sample, words)
    assert len(found.instances) == 1
    assert found.semantic is None


def test_known_classes_are_named_or_in_a_group_or_all():
    words = open_dataset("synthetic:longtail?size=64&length=1").vocabulary
    classes = class_sets(words)
    assert (len(classes.known), len(classes.other), classes.padding_id) == (72, 48, 120)
    plain = Vocabulary.of("car", "dog")
    assert class_sets(plain).known == {0, 1}
    assert class_sets(plain, ("dog",)).known == {1}
    with pytest.raises(SegtuneError, match="cat"):
        class_sets(plain, ("cat",))
    with pytest.raises(SegtuneError, match="no thing to learn"):
        class_sets(Vocabulary((Concept("grass", kind="stuff"),)))


def test_image_level_lists_come_along(recipe):
    data = {name: open_dataset(f"{recipe.data}{name}", split="train") for name in ("", "&lists=1")}
    plain, listed = (Batches(dataset, recipe)(1).images for dataset in data.values())
    assert all((image.present_ids, image.absent_ids) == ((), ()) for image in plain)
    assert all(len(image.absent_ids) == 5 for image in listed)
    for one, two in zip(plain, listed, strict=True):
        assert torch.equal(one.objects.masks, two.objects.masks)
