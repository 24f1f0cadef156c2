import numpy as np
import pytest

from segtune.engine.masks import AT_ONCE, LabelMasks, ProposedMasks
from segtune.errors import SegtuneError
from segtune.types import Concept, Instance, Sample, Vocabulary
from tests.engine.worlds import VOCABULARY, GridProposals, dataset, objects


def all_masks(source, sample):
    return np.concatenate([*source(sample)])


def test_a_class_map_gives_one_mask_per_class():
    sample = dataset()[0]
    masks = all_masks(LabelMasks(VOCABULARY), sample)
    assert [(sample.semantic[mask].min(), mask.sum()) for mask in masks] == [
        (0, 12 * 32),
        (1, 14 * 32),
        (2, 14 * 32),
    ]
    assert len(all_masks(LabelMasks(VOCABULARY), dataset()[3])) == 2


def test_objects_come_one_by_one_with_the_stuff_behind_them():
    words = Vocabulary((Concept("car"), Concept("road", kind="stuff")))
    semantic = np.array([[0, 0, 1, 1]], np.int32)
    first, second, crowd = (np.array([[i == k for i in range(4)]]) for k in range(3))
    cars = (Instance(0, first), Instance(0, second), Instance(0, crowd, is_crowd=True))
    sample = Sample("a", np.zeros((1, 4, 3), np.uint8), semantic, cars)
    masks = all_masks(LabelMasks(words), sample)
    assert masks[:, 0].tolist() == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, False, True],
    ]


def test_no_labels_no_masks():
    assert list(LabelMasks(VOCABULARY)(Sample("a", np.zeros((1, 1, 3), np.uint8)))) == []


def test_many_masks_come_in_parts():
    sample = objects([np.ones((2, 2), bool)] * (AT_ONCE + 1), [0] * (AT_ONCE + 1))
    assert [len(part) for part in LabelMasks(VOCABULARY)(sample)] == [AT_ONCE, 1]


def test_the_key_of_labels_follows_the_masks():
    source = LabelMasks(VOCABULARY)
    one, same, other = (objects([np.eye(3, dtype=bool)], [0]) for _ in range(3))
    other = objects([~np.eye(3, dtype=bool)], [0])
    assert source.key(one) == source.key(same) != source.key(other)


def test_proposals_come_back_to_the_original_image():
    sample = Sample("a", np.zeros((40, 60, 3), np.uint8))
    source = ProposedMasks(GridProposals(), short_side=32)
    masks = all_masks(source, sample)
    assert (masks.shape, masks.dtype) == ((5, 40, 60), bool)
    # The input is 32 x 48 without padding, so quarters are quarters of the image.
    assert masks[0, :19, :29].all()
    assert not masks[0, 21:].any()
    assert not masks[4].any()
    assert masks[:4].sum(0)[:19, :29].max() == 1


def test_padding_is_no_part_of_a_mask():
    sample = Sample("a", np.zeros((32, 34, 3), np.uint8))  # padded to 32 x 48
    masks = all_masks(ProposedMasks(GridProposals(), short_side=32), sample)
    assert masks[0, :15, :23].all()
    assert masks[1, :15, 25:].all()
    assert masks.shape == (5, 32, 34)


def test_a_higher_threshold_gives_smaller_masks():
    sample = Sample("a", np.zeros((40, 60, 3), np.uint8))
    sizes = [
        all_masks(ProposedMasks(GridProposals(), short_side=32, threshold=t), sample).sum()
        for t in (0.1, 0.5, 0.99)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    with pytest.raises(SegtuneError, match="threshold of masks is 1"):
        ProposedMasks(GridProposals(), short_side=32, threshold=1)
