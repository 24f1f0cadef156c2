import pytest

from segtune.export.yolo import YoloSink
from tests.export.results import IMAGE, WORDS, answer


@pytest.mark.parametrize("place", ["labels", "labels/train"])
def test_lines_and_one_file_of_classes(tmp_path, place):
    sink = YoloSink()
    sink.open(tmp_path / place, WORDS)
    sink.add("x", IMAGE, answer())
    assert sink.close() == [tmp_path / place, tmp_path / "data.yaml"]
    lines = (tmp_path / place / "x.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"]
    assert '0: "star"' in (tmp_path / "data.yaml").read_text()
