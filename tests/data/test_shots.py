import logging
from pathlib import Path

import numpy as np
import pytest

from segtune.data.shots import by_class, by_image, class_presence, classes_in, shortfall
from segtune.errors import SegtuneError
from segtune.types import Instance, Sample, Vocabulary


class Toy:
    """Images whose classes are written down; counts how often a label is read."""

    name, split = "toy", "train"

    def __init__(self, classes: list[set[int]], num_classes: int = 3) -> None:
        self.classes = classes
        self.vocabulary = Vocabulary.of(*(f"class {i}" for i in range(num_classes)))
        self.reads = 0

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        semantic = np.array([[-1, *self.classes[index]]], np.int32)
        return Sample(self.sample_id(index), np.zeros((1, 1, 3), np.uint8), semantic)

    def sample_id(self, index: int) -> str:
        return str(index)


def many(num_images: int = 60, num_classes: int = 8) -> Toy:
    """Class c is in about one of c + 2 images."""
    rng = np.random.default_rng(0)
    shown = rng.random((num_images, num_classes)) < 1 / (2 + np.arange(num_classes))
    return Toy([set(np.flatnonzero(row).tolist()) for row in shown], num_classes)


@pytest.mark.parametrize("sample", [by_image, by_class])
@pytest.mark.parametrize("seed", [0, 1])
def test_nested_deterministic_and_distinct(sample, seed: int) -> None:
    toy = many()
    few, more = sample(toy, 2, seed), sample(toy, 6, seed)
    assert set(few) <= set(more)
    assert more == sample(toy, 6, seed)
    assert len(set(more)) == len(more)
    assert more != sample(toy, 6, seed + 2)


def test_by_image_gives_as_many_as_asked_for() -> None:
    assert len(by_image(many(), 5, 0)) == 5
    assert sorted(by_image(many(9), 9, 0)) == list(range(9))
    with pytest.raises(SegtuneError, match=r"10 shots .* has 9 images; use --shots 9"):
        by_image(many(9), 10, 0)


@pytest.mark.parametrize("shots", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_by_class_reaches_every_class(shots: int, seed: int) -> None:
    toy = many()
    presence = class_presence(toy)
    counts = presence[list(by_class(toy, shots, seed, presence=presence))].sum(0)
    assert (counts >= np.minimum(presence.sum(0), shots)).all()


def test_by_class_reports_rare_classes(caplog: pytest.LogCaptureFixture) -> None:
    toy = Toy([{0}, {0}, {0, 1}])
    with caplog.at_level(logging.WARNING):
        chosen = by_class(toy, 2, 0)
    assert 2 in chosen
    assert len(chosen) == 2
    assert "fewer than 2 images show: class 1 (1), class 2 (0)" in caplog.text
    assert shortfall(toy, class_presence(toy), 2) == {"class 1": 1, "class 2": 0}


def test_by_class_names_few_of_many_rare_classes(caplog: pytest.LogCaptureFixture) -> None:
    toy = Toy([{0}], num_classes=30)
    with caplog.at_level(logging.WARNING):
        by_class(toy, 1, 0)
    assert caplog.messages[0].endswith("class 9 (0), class 10 (0) and 19 more")


def test_by_class_without_labels() -> None:
    with pytest.raises(SegtuneError, match="no image of toy"):
        by_class(Toy([set(), set()]), 1, 0)


@pytest.mark.parametrize("sample", [by_image, by_class])
def test_shots_must_be_positive(sample) -> None:
    with pytest.raises(SegtuneError, match="shots is 0; give 1 or more"):
        sample(many(), 0, 0)


def test_class_presence_is_cached(tmp_path: Path) -> None:
    toy = many(12)
    cache = tmp_path / "presence.npy"
    first = class_presence(toy, cache=cache)
    assert toy.reads == 12
    assert (class_presence(toy, cache=cache) == first).all()
    assert toy.reads == 12
    other = many(13)
    assert class_presence(other, cache=cache).shape == (13, 8)


def test_classes_in_looks_at_instances_too() -> None:
    sample = Sample(
        "a",
        np.zeros((1, 2, 3), np.uint8),
        np.array([[4, -1]], np.int32),
        (Instance(2, np.ones((1, 2), bool)), Instance(-1, np.ones((1, 2), bool))),
    )
    assert classes_in(sample) == [2, 4]
