"""A COCO file that grows image by image."""

import json

import pytest

from segtune.data.formats.coco.document import CocoDocument
from segtune.errors import DataError
from segtune.types import Concept, Vocabulary

WORDS = Vocabulary((Concept("car", color=(1, 2, 3)), Concept("road", kind="stuff")))


def test_images_annotations_and_categories(tmp_path):
    with CocoDocument(tmp_path / "a.json", vocabulary=WORDS, category_ids=(3, 8)) as document:
        ids = [document.add_image(name, (2, 4)) for name in ("000042", "photo")]
        document.add_annotation({"image_id": ids[0], "category_id": document.category_ids[1]})
        assert document.num_annotations == 1
        assert not document.path.exists()
    content = json.loads(document.path.read_text())
    assert content["images"][0] == {
        "id": 42,
        "file_name": "000042.jpg",
        "height": 2,
        "width": 4,
    }
    assert content["images"][1]["id"] == 1
    assert content["annotations"] == [{"image_id": 42, "category_id": 8}]
    assert content["categories"] == [
        {"id": 3, "name": "car", "isthing": 1, "color": [1, 2, 3]},
        {"id": 8, "name": "road", "isthing": 0},
    ]


def test_an_error_leaves_no_file(tmp_path):
    def fails() -> None:
        with CocoDocument(tmp_path / "a.json", vocabulary=WORDS, image_ids={}) as document:
            document.add_image("unknown", (2, 4))

    with pytest.raises(KeyError):
        fails()
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="1 category ids were given for 2 classes"):
        CocoDocument(tmp_path / "a.json", vocabulary=WORDS, category_ids=(1,))
