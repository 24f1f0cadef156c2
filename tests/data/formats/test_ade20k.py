from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import ade20k
from segtune.types import IGNORE
from tests.data import trees


@pytest.mark.parametrize("parent", ["", "ADEChallengeData2016"])
def test_challenge(tmp_path: Path, parent: str) -> None:
    raw = trees.ade20k(tmp_path / parent)
    assert ade20k.splits(tmp_path) == ("train", "val")
    dataset = ade20k.read(tmp_path, split="val")
    assert len(dataset.vocabulary) == 150
    semantic = dataset[0].semantic
    assert (semantic == np.where(raw == 0, IGNORE, raw - 1)).all()
    assert dataset[0].id == "ADE_00000001"


@pytest.mark.parametrize("parent", ["", "ADEChallengeData2016"])
def test_prepared_maps_are_read_where_there_are_no_others(tmp_path: Path, parent: str) -> None:
    raw = trees.ade20k_prepared(tmp_path / parent)
    dataset = ade20k.read(tmp_path)
    assert (dataset.name, dataset.split) == ("ade20k_150", "val")
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()
    published = trees.ade20k(tmp_path / parent)
    both = ade20k.read(tmp_path, split="train")
    assert (both[0].semantic == np.where(published == 0, IGNORE, published - 1)).all()
