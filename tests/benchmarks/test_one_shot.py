"""The measurement of finding by example, on a few episodes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from segtune.types import Instance, Segment

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import one_shot


def test_examples_find_more_than_chance_does(tmp_path):
    file = tmp_path / "rows.json"
    data = "synthetic:longtail?size=128&length=24"
    one_shot.main(["--split", "val", "--data", data, "--most", "1", "--json", str(file)])
    rows = {(row["way"], row["group"]): row for row in json.loads(file.read_text())}
    known = {way: rows[way, "known"] for way in one_shot.WAYS}
    assert {row["num_episodes"] for row in known.values()} == {known["by example"]["num_episodes"]}
    for way in one_shot.WAYS[:2]:
        for column in ("ap", "hits"):
            assert known[way][column] > known["regions by score"][column]
            assert known[way][column] > known["regions at random"][column]
    assert known["regions by score"]["recall"] == known["regions at random"]["recall"]
    assert ("by cached prompt", "unseen") not in rows


def test_no_image_supports_itself_and_choices_are_repeated():
    from segtune.data.formats import open_dataset

    dataset = open_dataset("synthetic:longtail?size=64&length=20", split="val")
    found = list(one_shot.episodes(dataset, shots=2, most=3))
    assert found == list(one_shot.episodes(dataset, shots=2, most=3))
    for episode in found:
        assert len({episode.image, *(index for index, _ in episode.supports)}) == 3
        for index, number in episode.supports:
            assert dataset[index].instances[number].class_id == episode.class_id


@pytest.mark.parametrize(("columns", "expected"), [(4, True), (2, True), (1, False)])
def test_a_hit_is_half_of_the_union(columns, expected):
    mask = np.zeros((4, 4), bool)
    mask[:, :4] = True
    part = Segment(0, 0.9, (0, 0, columns, 4), mask[:, :columns])
    worse = Segment(0, 0.1, (0, 0, 4, 4), mask)
    assert one_shot.is_hit([worse, part], [Instance(0, mask)]) == expected
    assert not one_shot.is_hit([], [Instance(0, mask)])
