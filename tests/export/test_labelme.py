import json

from segtune.export.labelme import LabelmeSink
from segtune.export.sinks import ImageRef
from tests.export.results import IMAGE, WORDS, answer


def test_one_file_beside_each_image_and_the_classes(tmp_path):
    sink = LabelmeSink()
    sink.open(tmp_path / "labelme", WORDS, images={"x": ImageRef(1, "set/x.png")})
    sink.add("x", IMAGE, answer())
    assert sink.close() == [tmp_path / "labelme"]
    content = json.loads((tmp_path / "labelme" / "x.json").read_text())
    assert (content["imagePath"], content["imageWidth"]) == ("x.png", 8)
    assert {shape["label"] for shape in content["shapes"]} == {"star", "grass"}
    assert (tmp_path / "labelme" / "labels.txt").read_text() == "star\ngrass\n"
