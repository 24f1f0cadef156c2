import numpy as np

from segtune.backbones.prompting import Boxes, Clicks, ObjectMasks


def test_lengths_are_numbers_of_objects():
    clicks = Clicks((np.zeros((2, 2)), np.zeros((1, 2))), (np.ones(2), np.ones(1)))
    assert len(clicks) == 2
    assert len(Boxes(np.zeros((3, 4), np.float32))) == 3


def test_no_masks():
    nothing = ObjectMasks.none()
    assert nothing.mask_logits.shape[0] == 0
    assert nothing.class_logits is None
