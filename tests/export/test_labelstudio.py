import json

from segtune.export.labelstudio import LabelStudioSink
from tests.export.results import IMAGE, WORDS, answer


def test_predictions_of_each_image(tmp_path):
    sink = LabelStudioSink()
    sink.open(tmp_path / "labelstudio.json", WORDS)
    sink.add("x", IMAGE, answer())
    (path,) = sink.close()
    (task,) = json.loads(path.read_text())
    assert task["data"] == {"image": "x.jpg"}
    (prediction,) = task["predictions"]
    labels = [region["value"]["brushlabels"] for region in prediction["result"]]
    assert labels == [["star"], ["grass"]]
    assert {region["original_width"] for region in prediction["result"]} == {8}
