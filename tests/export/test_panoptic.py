"""COCO panoptic of many images."""

import json

import numpy as np

from segtune.data.formats.coco.panoptic import read_segment_ids, write
from segtune.export.panoptic import PanopticSink
from segtune.types import IGNORE
from tests.export.results import WORDS, answer


def test_maps_come_at_once_and_the_json_at_the_end(tmp_path):
    place = tmp_path / "out" / "panoptic.json"
    sink = PanopticSink()
    sink.open(place, WORDS)
    for name, result in (("a", answer()), ("b", answer(last=0))):
        sink.add(name, None, result)
        ids = read_segment_ids(place.with_suffix("") / f"{name}.png")
        np.testing.assert_array_equal(ids == 0, result.semantic == IGNORE)
        assert not place.exists()
    assert sink.close() == [place, place.with_suffix("")]
    content = json.loads(place.read_text())
    assert [len(entry["segments_info"]) for entry in content["annotations"]] == [2, 3]
    results = [("a", answer()), ("b", answer(last=0))]
    again = write(tmp_path / "again" / "panoptic.json", results, vocabulary=WORDS)
    assert again.read_bytes() == place.read_bytes()
