from pathlib import Path

import pytest

from segtune.data.captioned import Captioned, captions_by_id
from segtune.data.formats import open_dataset
from segtune.data.formats.coco import captions as coco_captions
from segtune.errors import DataError
from tests.data import trees


def test_masks_of_one_file_with_captions_of_another(tmp_path: Path) -> None:
    trees.coco_instances(tmp_path)
    file = trees.coco_captions(tmp_path)
    masks = open_dataset(tmp_path, layout="coco_instances")
    dataset = Captioned(masks, captions_by_id(coco_captions.read(file)))
    assert len(masks) == 3
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["000000000139", "000000000285"]
    assert dataset[0].captions == ("A person.", "Second one.")
    assert len(dataset[0].instances) == 2
    assert dataset.vocabulary == masks.vocabulary


def test_captions_of_other_images_are_one_line(tmp_path: Path) -> None:
    trees.coco_instances(tmp_path)
    masks = open_dataset(tmp_path, layout="coco_instances")
    with pytest.raises(DataError, match="none of the 1 captioned images is in instances_val2017"):
        Captioned(masks, {"other": ("A dog.",)})
