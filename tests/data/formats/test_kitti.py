from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import open_dataset
from segtune.data.formats.cityscapes import NUM_RAW_IDS
from segtune.errors import DataError
from segtune.types import IGNORE
from segtune.vocabulary.builtin import category_ids
from tests.data import trees


def test_label_ids_of_cityscapes(tmp_path: Path) -> None:
    raw = trees.kitti(tmp_path)
    dataset = open_dataset(tmp_path)
    expected = np.full(NUM_RAW_IDS, IGNORE)
    expected[list(category_ids("cityscapes_19"))] = range(19)
    assert (dataset.split, dataset.vocabulary.names[0]) == ("train", "road")
    assert (dataset[0].semantic == expected[raw]).all()


def test_values_that_are_none(tmp_path: Path) -> None:
    trees.kitti(tmp_path)
    trees.save_map(tmp_path / "training/semantic/000000_10.png", np.full((6, 8), 99))
    with pytest.raises(DataError, match="has the value 99, which is no class"):
        open_dataset(tmp_path)[0]
