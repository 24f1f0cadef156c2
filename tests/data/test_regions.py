"""Which objects of a sample a task is about."""

from dataclasses import replace

import numpy as np
import pytest

from segtune.data.regions import objects_for, require_instances
from segtune.data.samples import Subset
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import DataError
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary

WORDS = Vocabulary((Concept("car"), Concept("road", kind="stuff"), Concept("sky", kind="stuff")))
SEMANTIC = np.array([[2, 2, 2, 0], [1, 1, 0, 0], [1, 1, 1, IGNORE]], np.int32)
CAR = Instance(0, SEMANTIC == 0)


def sample(*instances: Instance, semantic: np.ndarray | None = SEMANTIC) -> Sample:
    image, points = np.zeros((3, 4, 3), np.uint8), np.zeros((len(instances), 2), np.float32)
    return Sample("a", image, semantic, instances, points=points)


ROAD, NAMELESS = Instance(1, SEMANTIC == 1), Instance(IGNORE, SEMANTIC == 2)


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("semantic", (CAR, ROAD), [0, 1]),
        ("instance", (CAR, ROAD), [0]),
        ("instance", (CAR, NAMELESS), [0, IGNORE]),
        ("instance", (), []),
        ("panoptic", (CAR,), [0, 1, 2]),
        ("panoptic", (CAR, ROAD), [0, 1, 2]),
        ("panoptic", (CAR, NAMELESS), [0, IGNORE, 1]),
        ("panoptic", (), [1, 2]),
    ],
)
def test_objects_of_a_task(task, given, expected):
    before = sample(*given)
    after = objects_for(task, before, WORDS)
    assert [item.class_id for item in after.instances] == expected
    assert np.array_equal(after.semantic, SEMANTIC)
    kept = len(expected) == len(given)
    assert (after.points is before.points) if kept else after.points is None


def test_stuff_is_what_no_instance_covers():
    crowd = Instance(0, SEMANTIC != 1, is_crowd=True)
    added = objects_for("panoptic", sample(crowd), WORDS).instances[1:]
    assert [item.class_id for item in added] == [1]
    assert np.array_equal(added[0].mask, SEMANTIC == 1)
    assert objects_for("panoptic", sample(CAR, semantic=None), WORDS).instances == (CAR,)


def test_a_synthetic_world_gets_its_own_stuff_regions():
    plain = SyntheticDataset("base", "val", size=(64, 64), length=2)
    listed = SyntheticDataset("base", "val", size=(64, 64), length=2, stuff_regions=True)
    for i in range(2):
        given = objects_for("panoptic", plain[i], plain.vocabulary).instances
        assert [item.class_id for item in given] == [item.class_id for item in listed[i].instances]
        for a, b in zip(given, listed[i].instances, strict=True):
            assert np.array_equal(a.mask, b.mask)


def test_data_without_instances():
    scenes = SyntheticDataset("base", "val", size=(64, 64), length=2)
    require_instances(scenes, what="task instance")

    class Bare(Subset):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), instances=())

    with pytest.raises(DataError, match="has no instance masks, which task instance"):
        require_instances(Bare(scenes, [0, 1]), what="task instance")
