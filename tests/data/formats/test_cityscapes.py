from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import cityscapes
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees


@pytest.mark.parametrize("train_ids", [True, False])
def test_both_kinds_of_label_files(tmp_path: Path, train_ids: bool) -> None:
    maps = trees.cityscapes(tmp_path, train_ids=train_ids)
    dataset = cityscapes.read(tmp_path, split="val")
    assert dataset[0].id == "frankfurt_000000_000294"
    expected = np.where(maps["trained"] == 255, IGNORE, maps["trained"])
    assert (dataset[0].semantic == expected).all()
    assert dataset[0].instances == ()
    assert cityscapes.splits(tmp_path) == ("train", "val")


def test_instances(tmp_path: Path) -> None:
    maps = trees.cityscapes(tmp_path)
    dataset = cityscapes.read(tmp_path, instances="1")
    instances = dataset[0].instances
    person, car = dataset.vocabulary.index("person"), dataset.vocabulary.index("car")
    numbered = {(i.class_id, i.is_crowd): i.mask for i in instances if not i.is_crowd}
    assert (numbered[car, False] == (maps["numbers"] == 26001)).all()
    assert sum(i.class_id == person and not i.is_crowd for i in instances) == 2
    crowds = [i for i in instances if i.is_crowd and i.class_id == car]
    assert len(crowds) == 1
    assert (crowds[0].mask == (maps["numbers"] == 26)).all()
    assert all(dataset.vocabulary.concepts[i.class_id].kind == "thing" for i in instances)


def test_bad_option(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path)
    with pytest.raises(DataError, match="use instances=1"):
        cityscapes.read(tmp_path, instances="yes")
