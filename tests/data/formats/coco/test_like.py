from pathlib import Path

import pytest

from segtune.data.formats.coco.like import read_ids
from segtune.errors import DataError
from segtune.types import Vocabulary
from tests.data import trees


def test_ids_of_images_and_classes(tmp_path: Path) -> None:
    ids = read_ids(trees.coco_instances(tmp_path))
    photo = tmp_path / "elsewhere" / "000000000285.png"
    assert ids.of_images([photo]) == [(285, "000000000285.jpg")]
    assert ids.of_classes(Vocabulary.of("Toothbrush", "car")) == [90, 3]


def test_what_is_not_in_the_file(tmp_path: Path) -> None:
    ids = read_ids(trees.coco_instances(tmp_path))
    with pytest.raises(DataError, match=r"has no image b\.jpg; its images are 000000000139\.jpg"):
        ids.of_images([Path("b.jpg")])
    with pytest.raises(DataError, match=r"'unicorn' is no category of .* are car, person"):
        ids.of_classes(Vocabulary.of("car", "unicorn"))
