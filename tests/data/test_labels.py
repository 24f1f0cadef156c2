from pathlib import Path

import numpy as np
import pytest

from segtune.data.labels import ValueMap, read_semantic
from segtune.errors import DataError
from tests.data.trees import noise, save_image, save_map


def test_of_values_numbers_classes_in_order() -> None:
    values = ValueMap.of_values([7, 3], ignored=[0, 255])
    decoded = values.decode(np.array([[7, 3, 0, 255]]))
    assert decoded.tolist() == [[0, 1, -1, -1]]
    assert decoded.dtype == np.int32


@pytest.mark.parametrize(
    ("num_classes", "raw", "expected"),
    [(20, [0, 19, 255, 65535], [0, 19, -1, -1]), (847, [0, 255, 846, 65535], [0, 255, 846, -1])],
)
def test_plain_reads_255_as_a_class_only_where_there_are_so_many(
    num_classes: int, raw: list[int], expected: list[int]
) -> None:
    assert ValueMap.plain(num_classes).decode(np.array([raw])).tolist() == [expected]


@pytest.mark.parametrize("value", [3, 254, -1, 70000])
def test_an_unknown_value_is_an_error(value: int) -> None:
    with pytest.raises(DataError, match=rf"a\.png has the value {value}, .*3 classes use 0 to 2"):
        ValueMap.plain(3).decode(np.array([[0, value]]), path="a.png")


def test_read_semantic_checks_the_size(tmp_path: Path) -> None:
    image = save_image(tmp_path / "a.jpg", size=(5, 7))
    save_map(tmp_path / "a.png", noise(0, 3, size=(7, 5)))
    with pytest.raises(DataError, match=r"a\.png is 5x7 but its image a\.jpg is 7x5"):
        read_semantic(tmp_path / "a.png", image=image, values=ValueMap.plain(3))
