import numpy as np
import pytest

from segtune.data.drawn import Drawn, DrawnRecord, classes_of_names, drawn_sample
from segtune.data.masks.drawing import Stroke
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

BOX = Stroke("rectangle", ((1, 1), (4, 3)))
CORNER = Stroke("rectangle", ((4, 3), (7, 5)))


def sample(tmp_path, *things, **options):
    image = trees.save_image(tmp_path / "a.jpg")
    record = DrawnRecord("a", image, stated_size=(6, 8))
    return drawn_sample(record, things, file=tmp_path / "a.json", **options)


def test_later_ones_lie_above_and_groups_are_one(tmp_path):
    found = sample(
        tmp_path,
        Drawn(0, BOX, "one", group=1),
        Drawn(1, CORNER, "two"),
        Drawn(0, Stroke("rectangle", ((0, 5), (0, 5))), "three", group=1),
        background=2,
    )
    assert [item.class_id for item in found.instances] == [0, 1]
    assert found.instances[0].mask.sum() == 13
    assert (found.semantic[3, 4], found.semantic[0, 0], found.semantic[5, 0]) == (1, 2, 0)


def test_void_erases_labels_and_is_no_object(tmp_path):
    found = sample(tmp_path, Drawn(0, BOX, "one"), Drawn(IGNORE, CORNER, "two"))
    assert len(found.instances) == 1
    assert (found.semantic == 0).sum() == 11


def test_a_photograph_of_other_proportions_is_refused(tmp_path):
    image = trees.save_image(tmp_path / "a.jpg")
    record = DrawnRecord("a", image, stated_size=(5, 8))
    with pytest.raises(DataError, match="made on 8x5, but the image is 8x6"):
        drawn_sample(record, [], file=tmp_path / "a.json")


def test_a_background_that_is_drawn_is_a_class_like_others():
    words, ids, rest = classes_of_names(["cat", "background"], name="x", used=["background"])
    assert (words.names, ids["background"], rest) == (("cat", "background"), 1, IGNORE)
    assert np.isin(list(ids.values()), (0, 1)).all()
    with pytest.raises(DataError, match="has no object with a name"):
        classes_of_names(["void"], name="x", used=[])
