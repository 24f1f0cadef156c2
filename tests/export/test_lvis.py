"""Annotations that say what was looked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from segtune.data.formats import open_dataset
from segtune.export.convert import convert
from segtune.export.lvis import LvisSink
from segtune.types import Concept, Segmentation, Vocabulary
from tests.data import trees
from tests.data.lvis_ow.sources import AEROSOL, AXE, files
from tests.export.results import answer

WORDS = Vocabulary((Concept("grass", group="common"), Concept("star"), Concept("moon")))


def write(place: Path, *results: Segmentation) -> dict:
    sink = LvisSink()
    sink.open(place, WORDS)
    for number, result in enumerate(results):
        sink.add(str(number), None, replace(result, vocabulary=WORDS))
    assert sink.close() == [place]
    return json.loads(place.read_text())


def test_lists_are_those_of_the_source_or_all_other_classes(tmp_path: Path) -> None:
    result = answer()
    there = {segment.class_id for segment in result.segments}
    told = replace(result, source={"absent_ids": (2,), "not_exhaustive_ids": (0,)})
    first, second = write(tmp_path / "a.json", result, told)["images"]
    assert first["neg_category_ids"] == [i + 1 for i in range(3) if i not in there]
    assert first["not_exhaustive_category_ids"] == []
    assert (second["neg_category_ids"], second["not_exhaustive_category_ids"]) == ([3], [1])


def test_frequencies_are_tags_or_counts(tmp_path: Path) -> None:
    content = write(tmp_path / "a.json", *[answer()] * 11)
    grass, star, moon = content["categories"]
    assert (grass["frequency"], star["frequency"], moon["frequency"]) == ("c", "c", "r")
    assert (star["image_count"], moon["image_count"], moon["instance_count"]) == (11, 0, 0)
    ids = [entry["category_id"] for entry in content["annotations"]]
    assert star["instance_count"] == ids.count(2)
    assert sorted(entry["id"] for entry in content["annotations"]) == list(range(1, len(ids) + 1))


def test_lists_of_lvis_come_back(tmp_path: Path) -> None:
    source, _, _ = files(tmp_path / "from").save()
    for image_id in range(1, 6):
        trees.save_image(tmp_path / "from" / "train2017" / f"{image_id:012}.jpg")
    before = open_dataset(source)
    done = convert(before, tmp_path / "to", to="lvis")
    assert not done.lost
    after = open_dataset(tmp_path / "to")
    assert after.vocabulary.concepts[AXE - 1].group == "rare"
    for i in range(5):
        assert after[i].absent_ids == before[i].absent_ids
        assert after[i].not_exhaustive_ids == before[i].not_exhaustive_ids
        masks = [(item.class_id, item.mask.tolist()) for item in before[i].instances]
        assert [(item.class_id, item.mask.tolist()) for item in after[i].instances] == masks
    assert before[0].not_exhaustive_ids == (AEROSOL - 1,)
    lost = convert(before, tmp_path / "coco", to="coco").lost
    assert lost == {"lists of absent and not exhaustive classes": 5}
