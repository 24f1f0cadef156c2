"""Batches: a function of the step, whole passes over the data, and classes that nobody learns."""

from dataclasses import replace

import pytest
import torch

from segtune.errors import DataError
from segtune.trainers.maskformer.batches import Batches, labelled
from segtune.types import Sample
from tests.trainers.maskformer.conftest import Scenes

SEEN = [0, 1, 2, 3]


def test_a_batch_is_a_function_of_seed_and_step(recipe):
    first, again = Batches(Scenes(), recipe, SEEN), Batches(Scenes(), recipe, SEEN)
    other = Batches(Scenes(), replace(recipe, seed=1), SEEN)
    alone = Batches(Scenes(), replace(recipe, workers=1), SEEN)
    for step in (5, 0, 5):
        a = first(step)
        assert a.pixels.shape == (2, 3, 64, 64)
        assert a.labels.shape == (2, 64, 64)
        for b in (again(step), alone(step)):
            assert torch.equal(a.pixels, b.pixels)
            assert torch.equal(a.labels, b.labels)
        assert not torch.equal(a.pixels, other(step).pixels)
    assert not torch.equal(first(0).pixels, first(1).pixels)


def test_every_image_once_per_pass(recipe):
    batches = Batches(Scenes(), replace(recipe, batch=3), SEEN)
    drawn = [batches._pick(place) for place in range(21)]
    passes = [drawn[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(each) == list(range(7)) for each in passes)
    assert len({tuple(each) for each in passes}) == 3
    assert [batches._pick(place) for place in (20, 3)] == [drawn[20], drawn[3]]


def test_unseen_classes_become_unlabelled(recipe):
    batches = Batches(Scenes(), recipe, [1, 3, 0, 2])
    labels = torch.cat([batches(step).labels for step in range(8)])
    assert set(labels.unique().tolist()) == {-1, 0, 1, 2, 3}
    both = Batches(Scenes(), recipe, [1, 3, 0, 2, 4])
    full = torch.cat([both(step).labels for step in range(8)])
    assert torch.equal(
        labels, torch.where(full == 4, -1, full)
    )  # the rest keeps its order of words
    assert (full == 4).any()


def test_parts_are_the_batch(recipe):
    batch = Batches(Scenes(), replace(recipe, batch=6), SEEN)(0)
    parts = batch.split(3)
    assert [len(part.pixels) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)


class Unlabelled(Scenes):
    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), semantic=None)


def test_images_without_labels(recipe):
    with pytest.raises(DataError, match="sample '2' of scenes has no label map") as caught:
        labelled(Unlabelled(), 2)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no label map"):
        Batches(Unlabelled(), recipe, SEEN)(0)
