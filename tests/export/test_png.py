"""Index maps."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segtune.data.images import read_label_map
from segtune.errors import SegtuneError
from segtune.export.png import PngSink
from segtune.types import IGNORE
from segtune.viz.palette import class_colors
from tests.export.results import WORDS, answer


def test_maps_have_class_ids_and_the_colours_of_the_classes(tmp_path):
    sink = PngSink()
    sink.open(tmp_path / "labels", WORDS)
    sink.add("a", None, answer())
    sink.add("b", None, answer(last=0))
    assert sink.close() == [tmp_path / "labels"]
    truth = answer(last=0).semantic
    labels = read_label_map(tmp_path / "labels" / "b.png")
    np.testing.assert_array_equal(labels, np.where(truth == IGNORE, 255, truth))
    with Image.open(tmp_path / "labels" / "a.png") as image:
        assert image.getpalette()[:6] == class_colors(WORDS).flatten().tolist()


def test_a_result_without_a_map(tmp_path):
    sink = PngSink()
    sink.open(tmp_path, WORDS)
    with pytest.raises(SegtuneError, match="no label map"):
        sink.add("a", None, replace(answer(), semantic=None))
