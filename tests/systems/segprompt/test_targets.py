from dataclasses import replace

import torch

from segtune.ops.mask_targets import MaskTargets
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.targets import (
    ClassSets,
    ImageObjects,
    RandomChooser,
    TrainingTargets,
    capped,
    chosen_examples,
    training_targets,
)

CONFIG = SegPromptConfig(num_prompts=10, repeat=2, num_examples=3, min_area=3)
CLASSES = ClassSets(frozenset(range(4)), frozenset(range(4, 9)), 9)


def objects(labels: list[int], areas: list[int] | None = None) -> MaskTargets:
    """Returns objects of 4 pixels, or of the given numbers of pixels."""
    masks = torch.zeros(len(labels), 4, 4, dtype=torch.bool)
    for mask, area in zip(masks, areas or [4] * len(labels), strict=True):
        mask.view(-1)[:area] = True
    return MaskTargets(torch.tensor(labels, dtype=torch.int64), masks)


def targets_of(image: ImageObjects, config: SegPromptConfig = CONFIG) -> TrainingTargets:
    return training_targets([image], config, CLASSES, [RandomChooser(0)])


def test_an_image_without_objects_asks_for_classes_that_are_absent():
    found = targets_of(ImageObjects(objects([])))
    assert found.is_absent.all()
    assert not found.has_masks.any()
    assert found.example_ids.tolist() == [[9, 9, 9]]
    assert found.example_masks.shape == (1, 3, 4, 4)
    groups = found.class_ids.view(5, 2)
    assert (groups[:, 0] == groups[:, 1]).all()
    assert len(groups[:, 0].unique()) == 5


def test_small_objects_are_learned_by_prompts_alone():
    image = ImageObjects(objects([1, 1, 2], [4, 2, 4]))
    found = targets_of(image)
    assert found.learned[0].class_ids.tolist() == [1, 2]
    assert found.prompts[0].class_ids.tolist() == [1, 1, 2]
    large = targets_of(image, replace(CONFIG, large_only=True))
    assert large.prompts[0].class_ids.tolist() == [1, 2]


def test_only_known_classes_are_learned_and_others_are_present():
    found = targets_of(ImageObjects(objects([1, 6])))
    assert found.learned[0].class_ids.tolist() == [1]
    asked = dict(zip(found.class_ids[0].tolist(), found.is_absent[0].tolist(), strict=True))
    assert (asked[1], asked[6]) == (False, False)
    assert not found.has_masks[0][found.class_ids[0] == 6].any()


def test_the_leak_can_be_closed():
    image = ImageObjects(objects([1]), present_ids=(5,), absent_ids=(7,))
    for seed in range(8):
        open_, closed = (
            training_targets([image], config, CLASSES, [RandomChooser(seed)])
            for config in (
                CONFIG,
                replace(CONFIG, image_lists=False, absent_from_all=False),
            )
        )
        flags = dict(zip(open_.class_ids[0].tolist(), open_.is_absent[0].tolist(), strict=True))
        assert (flags[5], flags[7]) == (False, True)
        assert set(closed.class_ids.flatten().tolist()) <= {*CLASSES.known, CLASSES.padding_id}


def test_masks_of_classes_without_an_example():
    image = ImageObjects(objects([0, 1, 2, 3]))
    few = targets_of(image)
    assert few.has_masks.sum() == 3 * CONFIG.repeat
    every = targets_of(image, replace(CONFIG, masks_of_all_classes=True))
    assert every.has_masks.sum() == 4 * CONFIG.repeat


def test_objects_of_classes_beyond_the_slots_are_left_out():
    found = targets_of(ImageObjects(objects([0, 1, 2, 3])), replace(CONFIG, num_prompts=4))
    assert found.class_ids.tolist() == [[0, 0, 1, 1]]
    assert found.prompts[0].class_ids.tolist() == [0, 1]


def test_objects_of_a_class_are_capped():
    many = objects([2, 1, 1, 1, 2])
    assert capped(many, 2, RandomChooser(0)).class_ids.tolist() == [1, 1, 2, 2]
    assert len(capped(objects([0] * 200), 1, RandomChooser(0))) == 150


def test_examples_are_of_as_many_classes_as_there_are():
    some = objects([0, 0, 0, 1, 2, 3])
    for seed in range(5):
        chosen = chosen_examples(some, 3, RandomChooser(seed))
        assert len(set(chosen.class_ids.tolist())) == 3
        assert set(chosen_examples(some, 5, RandomChooser(seed)).class_ids.tolist()) == {0, 1, 2, 3}
    assert chosen_examples(some, 9, RandomChooser(0)) is some
