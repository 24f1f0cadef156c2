"""Scores of instances, panoptic segments and clicks over a data set, with pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from segtune.backbones.seem.model import random_seem
from segtune.data.regions import objects_for
from segtune.data.samples import Subset, as_segmentation
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import DataError, SegtuneError
from segtune.eval.html import render_html
from segtune.eval.instances import InstanceEvaluator
from segtune.eval.panoptic import PanopticEvaluator
from segtune.eval.report import Report, ReportRow, write_csv, write_json
from segtune.eval.run import evaluate
from segtune.eval.tasks import InstanceJudge, PanopticJudge, PromptableJudge, judge, reduced
from segtune.predict.look import UNNAMED
from segtune.predict.segmenter import Segmenter
from segtune.types import Instance, Resolution, Sample, Segmentation, Vocabulary
from tests.conftest import LetterTokenizer

SCENES = SyntheticDataset("base", "val", size=(64, 80), length=5)
WORDS = SCENES.vocabulary


def truth_of(task, sample: Sample) -> Segmentation:
    return replace(as_segmentation(objects_for(task, sample, WORDS), WORDS), semantic=None)


def imperfect(task):
    """Answers with the truth, without the first segment in odd images."""

    def predict(sample: Sample) -> Segmentation:
        truth = truth_of(task, sample)
        return replace(truth, segments=truth.segments[int(sample.id[-1]) % 2 :])

    return predict


@dataclass
class Seen:
    """Answers with the true object under each click, and with the filled box."""

    sample: Sample

    def points(self, clicks: np.ndarray) -> Segmentation:
        found = []
        for x, y in clicks.astype(int):
            found += [item for item in self.sample.instances if item.mask[y, x]]
        return self._answer(found)

    def boxes(self, boxes: np.ndarray) -> Segmentation:
        found = []
        for x1, y1, x2, y2 in boxes.astype(int):
            mask = np.zeros(self.sample.semantic.shape, bool)
            mask[y1:y2, x1:x2] = True
            found.append(Instance(0, mask))
        return self._answer(found)

    def _answer(self, items: list[Instance]) -> Segmentation:
        segments = []
        for item in items:
            segments += as_segmentation(replace(self.sample, instances=(item,)), WORDS).segments
        return Segmentation(self.sample.semantic.shape, UNNAMED, segments=tuple(segments))


JUDGES = {
    "instance": lambda: InstanceJudge(imperfect("instance"), WORDS),
    "panoptic": lambda: PanopticJudge(imperfect("panoptic"), WORDS),
    "promptable": lambda: PromptableJudge(Seen, WORDS),
}


def test_instances_equal_one_evaluator():
    result = judge(JUDGES["instance"](), SCENES)
    whole = InstanceEvaluator(WORDS)
    for sample in (SCENES[i] for i in range(len(SCENES))):
        whole.update(sample.id, imperfect("instance")(sample).segments, sample.instances)
    assert result.task == "instance"
    assert result.scores.summary() == pytest.approx(whole.result().summary(), nan_ok=True)
    assert 0 < result.scores.summary()["AP"] < 1
    assert result.image_scores["base-val-00000"] == pytest.approx(1)
    assert 0 <= result.image_scores["base-val-00001"] < 1
    assert list(result.image_scores) == [SCENES.sample_id(i) for i in range(5)]


def test_panoptic_takes_stuff_from_the_semantic_map():
    result = judge(JUDGES["panoptic"](), SCENES)
    listed = SyntheticDataset("base", "val", size=(64, 80), length=5, stuff_regions=True)
    whole = PanopticEvaluator(WORDS)
    for i in range(5):
        whole.update_from(imperfect("panoptic")(SCENES[i]), listed[i])
    assert result.scores.summary() == pytest.approx(whole.result().summary(), nan_ok=True)
    assert result.scores.summary()["PQst"] == 1
    assert 0 < result.scores.summary()["PQth"] < 1


def test_clicks_and_boxes():
    result = judge(JUDGES["promptable"](), SCENES)
    summary = result.scores.summary()
    assert summary["1-click IoU"] == 1
    ious = []
    for sample in (SCENES[i] for i in range(5)):
        for item in sample.instances:
            x1, y1, x2, y2 = item.box_px
            ious.append(item.mask.sum() / ((x2 - x1) * (y2 - y1)))
    assert summary["1-box IoU"] == pytest.approx(np.mean(ious))
    example = result.examples[-1]
    assert [s.class_id for s in example.truth.segments] == [
        s.class_id for s in example.prediction.segments
    ]


@pytest.mark.parametrize("task", JUDGES)
def test_protocol_examples_and_reports(task, tmp_path):
    result = judge(JUDGES[task](), SCENES, examples=3, example_side=40)
    assert result.protocol.num_images == 5
    assert result.protocol.dataset == "synthetic:base"
    assert set(result.protocol.seen) | set(result.protocol.unseen) <= set(WORDS.names)
    assert [example.rank for example in result.examples] == ["worst", "median", "best"]
    for example in result.examples:
        assert example.image.shape == (32, 40, 3)
        assert example.truth.size == example.prediction.size == (32, 40)
        assert example.truth.segments
    again = judge(JUDGES[task](), SCENES, examples=result.example_ids)
    assert again.example_ids == result.example_ids
    report = Report([ReportRow("a", result), ReportRow("b", again)])
    page = render_html(report)
    assert page.count("<figure>") == 3 * 4
    assert "Confusions" not in page
    write_json(tmp_path / "r.json", report)
    write_csv(tmp_path / "r.csv", report)
    header = (tmp_path / "r.csv").read_text().splitlines()[0]
    assert header.startswith(f"class,group,kind,a {next(iter(result.scores.per_class()))}")


def test_reduced_segments():
    mask = np.zeros((8, 8), bool)
    mask[0:4, 0:4] = True
    dot = np.zeros((8, 8), bool)
    dot[3, 7] = True
    image = np.zeros((8, 8, 3), np.uint8)
    sample = Sample("a", image, instances=(Instance(0, mask), Instance(1, dot)))
    small = reduced(as_segmentation(sample, Vocabulary.of("a", "b")), (4, 4))
    assert [segment.class_id for segment in small.segments] == [0]
    assert small.segments[0].box_px == (0, 0, 2, 2)
    assert small.semantic is None


class Changed(Subset):
    """Samples with some fields replaced."""

    def __init__(self, **changes: object) -> None:
        super().__init__(SCENES, [0, 1])
        self.changes = changes

    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), **self.changes)


@pytest.mark.parametrize("task", JUDGES)
def test_data_that_cannot_be_scored(task):
    with pytest.raises(DataError, match=f"has no instance masks, which task {task} needs"):
        judge(JUDGES[task](), Changed(instances=()))
    with pytest.raises(DataError, match="has no images"):
        judge(JUDGES[task](), Subset(SCENES, []))
    with pytest.raises(SegtuneError, match="has no sample 'x'"):
        judge(JUDGES[task](), SCENES, examples=["x"])


def test_an_image_without_objects_among_others():
    class Some(Subset):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return sample if index else replace(sample, instances=())

    for name, task in JUDGES.items():
        result = judge(task(), Some(SCENES, [0, 1]), examples=5)
        first = result.image_scores["base-val-00000"]
        assert math.isnan(first) == (name != "panoptic")  # its stuff is still there


def test_answers_of_another_kind():
    def small(sample: Sample) -> Segmentation:
        return Segmentation((4, 4), WORDS)

    def other(sample: Sample) -> Segmentation:
        return replace(truth_of("instance", sample), vocabulary=Vocabulary.of("a"))

    for kind in (InstanceJudge, PanopticJudge):
        with pytest.raises(SegtuneError, match=r"is 4x4 but its (masks are|truth is) 80x64"):
            judge(kind(small, WORDS), SCENES)
        with pytest.raises(SegtuneError, match="over another vocabulary"):
            judge(kind(other, WORDS), SCENES)


# -- a model ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Segmenter:
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("instance", ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100")),
        ("panoptic", ("PQ", "SQ", "RQ", "PQth", "SQth", "RQth", "PQst", "SQst", "RQst")),
        ("promptable", ("1-click IoU", "1-box IoU")),
        ("semantic", ("pAcc", "mIoU")),
    ],
)
def test_a_model_is_evaluated_by_task(model, task, names):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=2)
    result = evaluate(model, data, task=task, examples=1)
    assert result.task == task
    assert set(names) <= set(result.scores.summary())
    assert len(result.examples) == 1
    assert (result.confusion is not None) == (task == "semantic")
    assert "random-seem" in result.protocol.weights


def test_a_model_that_scores_pixels_has_instances_too(tiny_model):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=1)
    for task in ("instance", "panoptic"):
        result = evaluate(tiny_model, data, task=task, min_score=0.5, examples=0)
        assert result.protocol.extra["min_score"] == 0.5
    with pytest.raises(SegtuneError, match="takes no points or boxes"):
        evaluate(tiny_model, data, task="promptable")


def test_clicks_know_no_prompts(model):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=1)
    with pytest.raises(SegtuneError, match="answered by the frozen model alone"):
        evaluate(model, data, task="promptable", system=model.system_for(None))
