from xml.etree import ElementTree

from segtune.export.cvat import CvatSink
from segtune.export.sinks import ImageRef
from tests.export.results import IMAGE, WORDS, answer


def test_images_have_the_names_of_the_task(tmp_path):
    sink = CvatSink()
    refs = {"x": ImageRef(1, "set/x.png"), "y": ImageRef(2, "y.png")}
    sink.open(tmp_path / "annotations.xml", WORDS, images=refs)
    for name in refs:
        sink.add(name, IMAGE, answer())
    (path,) = sink.close()
    root = ElementTree.parse(path).getroot()
    assert [image.get("name") for image in root.iter("image")] == ["set/x.png", "y.png"]
    assert [label.findtext("name") for label in root.iter("label")] == ["star", "grass"]
    assert len(list(root.iter("mask"))) == 4
