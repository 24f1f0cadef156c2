from pathlib import Path

import pytest

from segtune.data.captioned import NO_CLASSES
from segtune.data.formats import open_dataset
from segtune.data.formats.coco import captions as coco_captions
from segtune.errors import DataError
from tests.data import trees


def test_read(tmp_path: Path) -> None:
    trees.coco_captions(tmp_path)
    dataset = open_dataset(tmp_path)
    assert [dataset[i].captions for i in range(len(dataset))] == [
        ("A person.", "Second one."),
        ("A brush here.",),
    ]
    assert (dataset.name, dataset.split) == ("captions_val2017", "val")
    assert dataset.vocabulary == NO_CLASSES


def test_labels_come_first_in_a_folder_and_the_file_is_sure(tmp_path: Path) -> None:
    file = trees.coco_captions(tmp_path)
    trees.coco_instances(tmp_path)
    assert open_dataset(tmp_path).vocabulary.names[0] == "person"
    assert open_dataset(file).vocabulary == NO_CLASSES
    renamed = file.rename(tmp_path / "annotations" / "said.json")
    assert coco_captions.detect(renamed) == 1.0
    dataset = open_dataset(f"{renamed}?images={tmp_path / 'val2017'}")
    assert dataset[1].captions == ("A brush here.",)


def test_a_caption_of_an_unknown_image(tmp_path: Path) -> None:
    file = trees.coco_captions(tmp_path)
    file.write_text(file.read_text().replace('"image_id": 285', '"image_id": 7'))
    with pytest.raises(DataError, match="image 7 has captions but is not in its image list"):
        open_dataset(file)


def test_an_annotation_without_a_caption(tmp_path: Path) -> None:
    file = trees.coco_captions(tmp_path)
    file.write_text(file.read_text().replace('"caption": "Sec', '"text": "Sec'))
    with pytest.raises(DataError, match="annotation 12 has no 'caption'"):
        open_dataset(file)
