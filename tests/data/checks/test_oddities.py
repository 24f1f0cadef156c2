import numpy as np

from segtune.data.checks.oddities import in_several_splits, oddities, told
from segtune.data.samples import IndexedDataset, Record
from segtune.types import Instance, Sample, Vocabulary
from tests.data import trees

PIXELS = np.zeros((6, 8, 3), np.uint8)


def whys(*masks):
    instances = tuple(Instance(0, mask) for mask in masks)
    return [odd.why for odd in oddities(Sample("a", PIXELS, instances=instances))]


def test_objects():
    empty, whole, tiny, fine = (np.zeros((6, 8), bool) for _ in range(4))
    whole[:], tiny[0, :3], fine[1:4, 1:5] = True, True, True
    assert whys(fine) == []
    assert whys(empty) == ["an object without a pixel"]
    assert whys(whole) == ["an object that is the whole image"]
    assert whys(tiny) == ["an object of less than 9 pixels"]


def test_large_images():
    sample = Sample("a", PIXELS, np.zeros((1, 5000), np.int32))
    assert [odd.why for odd in oddities(sample)] == ["a side of more than 4000 pixels"]


def test_splits_that_share_names(tmp_path):
    image = trees.save_image(tmp_path / "a.jpg")
    parts = [
        IndexedDataset("x", split, Vocabulary.of("a"), (Record("a", image),), lambda r: r)
        for split in ("train", "val")
    ]
    assert told(in_several_splits(parts)) == ["1 to look at, the same name in train and val: a"]
    assert in_several_splits(parts[:1]) == []
