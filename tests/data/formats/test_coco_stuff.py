from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import coco_stuff
from segtune.types import IGNORE
from segtune.vocabulary.builtin import builtin, category_ids
from tests.data import trees


@pytest.mark.parametrize("parent", ["", "coco", "coco_stuff164k"])
def test_prepared_maps(tmp_path: Path, parent: str) -> None:
    raw = trees.coco_stuff(tmp_path / parent, published=False)
    dataset = coco_stuff.read(tmp_path)
    assert (dataset.split, dataset[0].id) == ("val", "000000000139")
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()


def test_published_maps_have_gaps(tmp_path: Path) -> None:
    raw = trees.coco_stuff(tmp_path, published=True)
    dataset = coco_stuff.read(tmp_path)
    semantic = dataset[0].semantic
    assert semantic is not None
    assert semantic[0, :3].tolist() == [IGNORE, IGNORE, IGNORE]
    ids = [category_id - 1 for category_id in category_ids("coco_stuff_171")]
    for value in np.unique(raw[1:]).tolist():
        assert set(semantic[1:][raw[1:] == value].tolist()) == {ids.index(value)}
    assert semantic.max() == 170


def test_the_eleven_dropped_ids() -> None:
    used = {category_id - 1 for category_id in category_ids("coco_stuff_171")}
    dropped = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
    assert set(range(182)) - used == dropped


@pytest.mark.parametrize(("raw_value", "name"), [(0, "person"), (91, "banner"), (181, "wood")])
def test_known_ids(raw_value: int, name: str) -> None:
    index = category_ids("coco_stuff_171").index(raw_value + 1)
    assert builtin("coco_stuff_171").names[index] == name
