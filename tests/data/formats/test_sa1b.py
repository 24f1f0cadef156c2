from pathlib import Path

import pytest

from segtune.data.formats import open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees


def test_masks_without_names(tmp_path: Path) -> None:
    trees.sa1b(tmp_path)
    trees.save_image(tmp_path / "sa_2.jpg")
    dataset = open_dataset(tmp_path)
    (item,) = dataset[0].instances
    assert (item.class_id, dataset[0].semantic) == (IGNORE, None)
    assert item.mask[:, 6:].all()
    assert item.mask.sum() == 12
    assert [each.name for each in dataset.left_out] == ["sa_2.jpg"]


def test_damaged_masks(tmp_path: Path) -> None:
    file = trees.sa1b(tmp_path)
    file.write_text(file.read_text().replace("[36, 12]", "[36, 13]"))
    with pytest.raises(DataError, match=r"sa_1\.json: annotation 7 has run lengths that do not"):
        open_dataset(tmp_path)[0]
