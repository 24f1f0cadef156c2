"""Regions without names: the open-world and class-agnostic tasks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segtune.data.synthetic import SyntheticDataset
from segtune.errors import DataError
from segtune.eval.judging import ScoredModel, judge
from segtune.ops.segments import crop_segment
from segtune.types import IGNORE, Concept, Instance, Sample, Segment, Segmentation, Vocabulary
from tests.eval.instances.test_protocols import golden_cases
from tests.eval.worlds import SCENES, Changed, truth_of

WORDS = Vocabulary(
    (
        Concept("car", group="known"),
        Concept("cat", group="unseen"),
        Concept("cow", group="unseen"),
        Concept("road", kind="stuff"),
    )
)
SIZE = (20, 60)
WHERE = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]


def region(place: int, class_id: int, score: float = 1.0) -> Segment:
    return crop_segment(mask_at(place), class_id, score)


def mask_at(place: int) -> np.ndarray:
    x1, y1, x2, y2 = WHERE[place]
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


@dataclass
class Places:
    """One image: a car, a cat, a cow and a road, side by side."""

    name: str = "places"
    split: str = "val"
    vocabulary: Vocabulary = WORDS

    def __len__(self) -> int:
        return 1

    def sample_id(self, index: int) -> str:
        return "a"

    def __getitem__(self, index: int) -> Sample:
        things = tuple(Instance(k, mask_at(k)) for k in range(3))
        road = Instance(3, ~np.any([item.mask for item in things], axis=0))
        return Sample("a", np.zeros((*SIZE, 3), np.uint8), instances=(*things, road))


def answering(*segments: Segment, vocabulary: Vocabulary = WORDS) -> ScoredModel:
    return ScoredModel(in_words=lambda sample: Segmentation(SIZE, vocabulary, segments=segments))


def test_a_find_counts_whatever_it_is_called() -> None:
    model = answering(region(0, 1, 0.9), region(1, 0, 0.8))
    row = judge("open-world", model, Places()).scores.summary()
    assert row["AR@100"] == pytest.approx(2 / 3)  # the road is no thing
    assert (row["AR@100(known)"], row["AR@100(unseen)"]) == (1, 0.5)
    assert (row["AR@1(known)"], row["AR@1(unseen)"]) == (1, 0)
    assert next(iter(row)) == "AR@100"
    assert not any(name.startswith("AP") for name in row)
    assert judge("instance", model, Places()).scores.summary()["AP"] == 0


def test_a_region_of_several_names_counts_once() -> None:
    names = [region(0, k, 0.9 - 0.1 * k) for k in range(3)]
    model = answering(*names, region(1, 1, 0.2))
    for task in ("open-world", "class-agnostic"):
        scores = judge(task, model, Places()).scores
        assert scores.summary()["AR@10"] == pytest.approx(2 / 3)
    assert scores.summary()["AP"] == pytest.approx(67 / 101)


def test_regions_may_be_over_other_words() -> None:
    thing = Vocabulary.of("object")
    model = answering(region(0, 0), region(2, 0), vocabulary=thing)
    for task in ("open-world", "class-agnostic"):
        assert judge(task, model, Places()).scores.summary()["AR@100"] == pytest.approx(2 / 3)


def test_groups_by_both_conventions() -> None:
    model = answering(region(0, 0, 0.9), region(1, 1, 0.8), region(2, 2, 0.7))
    row = judge("class-agnostic", model, Places()).scores.summary()
    assert row["AR@1"] == pytest.approx(1 / 3)
    # The best region is on the car, which is an error, or leaves the list.
    assert row["AR@1(unseen)"] == 0
    assert row["AR@1(unseen, others out)"] == 0.5
    assert row["AP(unseen, others out)"] == pytest.approx(1)
    assert "AP(unseen)" not in row


def test_what_leaves_the_list_makes_room_for_regions_beyond_the_limit() -> None:
    on_the_car = [region(0, 0, 0.9 - 0.001 * i) for i in range(120)]
    model = answering(*on_the_car, region(1, 1, 0.1))
    row = judge("class-agnostic", model, Places()).scores.summary()
    assert row["AR@100(unseen)"] == 0
    # One of the many matches the car; the others on it are errors that stay.
    assert row["AR@100(unseen, others out)"] == 0
    model = answering(*on_the_car[:100], region(1, 1, 0.1))
    row = judge("class-agnostic", model, Places()).scores.summary()
    assert row["AR@100(unseen)"] == 0
    assert row["AR@100(unseen, others out)"] == 0.5


def test_things_without_a_name_count_where_classes_play_no_role() -> None:
    class Unnamed(Places):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            things = (*sample.instances[:1], Instance(IGNORE, mask_at(1)))
            return replace(sample, instances=things)

    result = judge("class-agnostic", answering(region(1, 0)), Unnamed())
    assert result.scores.summary()["AR@100"] == 0.5
    assert len(result.examples[0].truth.segments) == 2
    assert judge("open-world", answering(region(1, 0)), Unnamed()).scores.summary()["AR@100"] == 0


def test_scores_of_images_and_pictures() -> None:
    def in_words(sample: Sample) -> Segmentation:
        truth = truth_of("instance", sample)
        return replace(truth, segments=truth.segments[int(sample.id[-1]) % 2 :])

    for task in ("open-world", "class-agnostic"):
        result = judge(task, ScoredModel(in_words=in_words), SCENES, examples=3)
        assert result.image_scores["base-val-00000"] == 1
        assert result.image_scores["base-val-00001"] < 1
        worst = result.examples[0]
        assert worst.truth.vocabulary.names == worst.prediction.vocabulary.names == ("thing",)
        assert len(worst.prediction.segments) == len(worst.truth.segments) - 1
    empty = replace(SCENES[0], instances=())
    assert math.isnan(
        judge(
            "class-agnostic", ScoredModel(in_words=in_words), Changed2(SCENES, empty)
        ).image_scores[empty.id]
    )


class Changed2(Changed):
    """Scenes of which the first is another sample."""

    def __init__(self, dataset: Any, first: Sample) -> None:
        super().__init__(dataset, range(len(dataset)))
        self.first = first

    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(index) if index else self.first


def test_open_world_needs_groups() -> None:
    data = SyntheticDataset("base", "val", size=(64, 80), length=1)
    plain = Changed(data, [0])
    plain.vocabulary = replace(
        data.vocabulary, concepts=tuple(replace(c, group=None) for c in data.vocabulary)
    )
    model = ScoredModel(in_words=lambda sample: Segmentation((64, 80), plain.vocabulary))
    with pytest.raises(DataError, match="in no groups such as seen and unseen, which task open-"):
        judge("open-world", model, plain)
    assert judge("class-agnostic", model, plain).scores.summary()["AR@100"] == 0


@dataclass
class GoldenImages:
    """The images of a COCO file, masks decoded."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    vocabulary: Vocabulary
    ids: list[int]
    name: str = "golden"
    split: str = "val"

    def __len__(self) -> int:
        return len(self.images)

    def sample_id(self, index: int) -> str:
        return str(self.images[index]["id"])

    def __getitem__(self, index: int) -> Sample:
        image = self.images[index]
        objects = tuple(
            Instance(
                self.ids.index(entry["category_id"]),
                coco_mask.decode(entry["segmentation"]).astype(bool),
                is_crowd=bool(entry["iscrowd"]),
            )
            for entry in self.annotations
            if entry["image_id"] == image["id"]
        )
        pixels = np.zeros((image["height"], image["width"], 3), np.uint8)
        return Sample(self.sample_id(index), pixels, instances=objects)


@pytest.mark.golden
def test_golden_numbers_of_whole_evaluations() -> None:
    if not (cases := golden_cases()):
        pytest.skip("no goldens of coco_eval_groups; set SEGTUNE_GOLDENS")
    for case in cases:
        truth = json.loads((case / "ground_truth.json").read_text())
        results = json.loads((case / "predictions.json").read_text())
        expected = json.loads((case / "expected.json").read_text())
        categories = truth["categories"]
        words = Vocabulary(tuple(Concept(c["name"], group=c["group"]) for c in categories))
        data = GoldenImages(
            truth["images"], truth["annotations"], words, [c["id"] for c in categories]
        )

        def in_words(sample: Sample, results: Any = results) -> Segmentation:
            found = [
                crop_segment(
                    coco_mask.decode(entry["segmentation"]).astype(bool), 0, entry["score"]
                )
                for entry in results
                if str(entry["image_id"]) == sample.id
            ]
            size = sample.pixels().shape
            thing = Vocabulary.of("object")
            return Segmentation((size[0], size[1]), thing, segments=tuple(found))

        model = ScoredModel(in_words=in_words)
        row = judge("open-world", model, data, examples=0).scores.summary()
        values = expected["open_world_classwise@100"]
        assert row["AR@100"] == pytest.approx(values["AR_all"], abs=1e-9)
        for group in ("known", "seen", "unseen"):
            assert row[f"AR@100({group})"] == pytest.approx(values[f"AR_{group}"], abs=1e-9)
        row = judge("class-agnostic", model, data, examples=0).scores.summary()
        values = expected["class_agnostic"]
        for limit in ("1", "10", "100"):
            assert row[f"AR@{limit}"] == pytest.approx(values["AR"]["all"][limit], abs=1e-9)
        assert row["AP"] == pytest.approx(values["AP"]["all"]["100"], abs=1e-9)
        for group in ("known", "seen", "unseen"):
            for protocol, note in (("group_drop_others", ""), ("group_budget", ", others out")):
                values = expected[f"{protocol}/{group}"]
                for limit in ("10", "100"):
                    value = row[f"AR@{limit}({group}{note})"]
                    assert value == pytest.approx(values["AR"]["all"][limit], abs=1e-9)
            assert row[f"AP({group}, others out)"] == pytest.approx(
                expected[f"group_budget/{group}"]["AP"]["all"]["100"], abs=1e-9
            )
