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


@pytest.mark.parametrize("parent", ["", "ADE20K_2021_17_01"])
def test_full_release_has_16_bit_maps(tmp_path: Path, parent: str) -> None:
    raw = trees.ade20k_full(tmp_path / parent)
    assert ade20k.splits(tmp_path) == ("val",)
    dataset = ade20k.read(tmp_path)
    assert (dataset.name, len(dataset.vocabulary)) == ("ade20k_847", 847)
    semantic = dataset[0].semantic
    assert semantic is not None
    assert semantic[0, :2].tolist() == [IGNORE, 255]
    assert semantic.max() == 846
    assert (semantic == np.where(raw == 65535, IGNORE, raw)).all()
