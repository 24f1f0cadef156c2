from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees


@pytest.mark.parametrize("below", ["", "ADE20K_2016_07_26"])
def test_objects_and_their_names(tmp_path: Path, below: str) -> None:
    objects = trees.ade20k_2016(tmp_path)
    dataset = open_dataset(tmp_path / below)
    assert dataset.vocabulary.names == ("door", "wall")
    assert dataset[0].id == "ADE_train_00000970"
    assert (dataset[0].semantic == np.array([IGNORE, 1, 0, 1])[objects]).all()
    assert [item.class_id for item in dataset[0].instances] == [1, 0, 1]
    assert (dataset[0].instances[1].mask == (objects == 2)).all()


def test_bad_text(tmp_path: Path) -> None:
    trees.ade20k_2016(tmp_path)
    (file,) = tmp_path.rglob("*_atr.txt")
    file.write_text("wall\n")
    with pytest.raises(DataError, match="has the line 'wall'; expected number # level"):
        open_dataset(tmp_path)
