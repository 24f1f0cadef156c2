from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import acdc
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees


def test_read(tmp_path: Path) -> None:
    raw = trees.acdc(tmp_path)
    dataset = acdc.read(tmp_path)
    assert [dataset.sample_id(i) for i in range(2)] == [
        "GOPR0475_frame_000041",
        "GOPR0351_frame_000159",
    ]
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()


def test_conditions(tmp_path: Path) -> None:
    trees.acdc(tmp_path)
    dataset = acdc.read(tmp_path, condition="night")
    assert (len(dataset), dataset.name) == (1, "acdc-night")
    with pytest.raises(DataError, match="condition=dusk is not known; use fog, night"):
        acdc.read(tmp_path, condition="dusk")
    with pytest.raises(DataError, match="acdc-snow has no images in the split 'train'"):
        acdc.read(tmp_path, condition="snow")
