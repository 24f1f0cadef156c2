from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import bdd100k
from segtune.types import IGNORE
from tests.data import trees


@pytest.mark.parametrize("older", [False, True])
def test_read(tmp_path: Path, older: bool) -> None:
    raw = trees.bdd100k(tmp_path, older=older)
    dataset = bdd100k.read(tmp_path)
    assert [sample.id for sample in dataset] == ["0004a4c0-d4dff0ad"]
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()
    assert bdd100k.splits(tmp_path) == ("train",)
