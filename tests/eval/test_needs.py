"""What a task needs of the data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segtune.errors import DataError
from segtune.eval.judges import JUDGES
from segtune.eval.needs import check_data
from segtune.types import Vocabulary
from tests.eval.worlds import SCENES, Changed, Tiny


def test_data_that_has_everything() -> None:
    for task in JUDGES.values():
        check_data(SCENES, task)


def test_maps_alone_are_enough_for_pixels() -> None:
    check_data(Tiny(), JUDGES["semantic"])
    with pytest.raises(DataError, match="use task semantic, or data with instances"):
        check_data(Tiny(), JUDGES["instance"])


def test_instances_alone_are_enough_for_objects() -> None:
    objects = Changed(SCENES, [0], semantic=None)
    check_data(objects, JUDGES["instance"])
    with pytest.raises(DataError, match="has no label maps, which task semantic needs"):
        check_data(objects, JUDGES["semantic"])


def test_panoptic_data_may_be_all_stuff() -> None:
    stuff = Changed(SCENES, [0], instances=())
    with pytest.raises(DataError, match="no instance masks"):
        check_data(stuff, JUDGES["panoptic"])
    concepts = tuple(replace(concept, kind="stuff") for concept in SCENES.vocabulary)
    stuff.vocabulary = Vocabulary(concepts)
    check_data(stuff, JUDGES["panoptic"])


def test_groups_are_tags_of_the_vocabulary() -> None:
    plain = Changed(SCENES, [0])
    plain.vocabulary = Vocabulary.of(*SCENES.vocabulary.names)
    check_data(plain, JUDGES["class-agnostic"])
    with pytest.raises(DataError, match="or use task class-agnostic"):
        check_data(plain, JUDGES["open-world"])
