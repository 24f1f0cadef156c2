"""Annotations of many images in one file."""

import json

from segtune.data.formats.coco.instances import write_annotations
from segtune.export.coco import CocoSink
from segtune.export.sinks import ImageRef
from tests.export.results import WORDS, answer

RESULTS = [("a", answer()), ("7", answer(last=0))]


def write(place, images=None):
    sink = CocoSink()
    sink.open(place, WORDS, images=images)
    for name, result in RESULTS:
        sink.add(name, None, result)
    assert sink.close() == [place]
    return json.loads(place.read_text())


def test_images_are_called_as_asked(tmp_path):
    refs = {"a": ImageRef(1, "in/a.jpg"), "7": ImageRef(2, "7.png")}
    content = write(tmp_path / "a.json", refs)
    assert [(image["id"], image["file_name"]) for image in content["images"]] == [
        (1, "in/a.jpg"),
        (2, "7.png"),
    ]
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3, 4, 5]
    assert [entry["image_id"] for entry in content["annotations"]] == [1, 1, 2, 2, 2]


def test_it_is_the_writer_of_the_format(tmp_path):
    write(tmp_path / "a.json")
    file = write_annotations(tmp_path / "b.json", RESULTS, vocabulary=WORDS)
    assert (tmp_path / "a.json").read_bytes() == file.read_bytes()
