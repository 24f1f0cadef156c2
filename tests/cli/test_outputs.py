import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli.images import ImageFile
from segtune.cli.options.values import FORMATS
from segtune.cli.outputs import TASKS_OF_FORMAT, Answer, choose_task, enlarged, write_answers
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.ops.segments import segments_from_semantic
from segtune.types import IGNORE, Concept, Segmentation, Vocabulary

WORDS = Vocabulary((Concept("star"), Concept("grass", kind="stuff")))


def test_every_format_has_its_tasks() -> None:
    assert set(TASKS_OF_FORMAT) == set(FORMATS)


@pytest.mark.parametrize(
    ("task", "formats", "expected"),
    [
        (None, None, ("semantic", ("overlay", "png"))),
        ("instance", None, ("instance", ("overlay", "coco"))),
        (None, ("coco",), ("instance", ("coco",))),
        (None, ("coco", "png"), ("panoptic", ("coco", "png"))),
        ("panoptic", ("png",), ("panoptic", ("png",))),
    ],
)
def test_task_and_formats_suit_each_other(task, formats, expected) -> None:  # type: ignore[no-untyped-def]
    assert choose_task(task, formats) == expected


def test_a_format_that_cannot_hold_the_task() -> None:
    with pytest.raises(SegtuneError, match="use --task instance or panoptic"):
        choose_task("semantic", ("coco",))


def answer(name: str, *, first: int) -> Answer:
    labels = np.full((6, 8), 1, np.int32)
    labels[1:3, 1:4] = 0
    labels[0, 0] = IGNORE
    labels[5, 7] = first
    segments = segments_from_semantic(labels, WORDS)
    result = Segmentation((6, 8), WORDS, labels, segments)
    return Answer(name, np.zeros((6, 8, 3), np.uint8), result)


def test_all_formats_can_be_read_again(tmp_path: Path) -> None:
    images = [ImageFile(name, tmp_path / "in" / f"{name}.png") for name in ("a", "b")]
    answers = [answer("a", first=1), answer("b", first=0)]
    for image, each in zip(images, answers, strict=True):
        image.path.parent.mkdir(exist_ok=True)
        Image.fromarray(each.pixels).save(image.path)
    out = tmp_path / "out"
    written = write_answers(iter(answers), images, formats=FORMATS, folder=out, vocabulary=WORDS)
    assert all(path.exists() for path in written)
    assert Image.open(out / "overlays" / "a.png").size[0] >= 8

    labels = np.asarray(Image.open(out / "labels" / "a.png"))
    assert (labels[0, 0], labels[1, 1], labels[5, 7]) == (255, 0, 1)
    assert json.loads((out / "vocabulary.json").read_text())["classes"][1]["kind"] == "stuff"

    things = open_dataset(f"{out / 'instances.json'}?images={tmp_path / 'in'}")
    assert [len(things[i].instances) for i in range(len(things))] == [1, 2]
    panoptic = open_dataset(f"{out / 'panoptic.json'}?images={tmp_path / 'in'}")
    truth = answers[1].result.semantic
    assert truth is not None
    assert np.array_equal(panoptic[1].semantic, truth)  # type: ignore[arg-type]
    assert panoptic.vocabulary.names == WORDS.names


def test_small_answers_are_enlarged_as_they_are() -> None:
    small = answer("a", first=0)
    large = enlarged(small)
    times = large.result.size[0] // 6
    assert large.pixels.shape == (6 * times, 8 * times, 3)
    assert large.result.semantic is not None
    assert np.array_equal(large.result.semantic[::times, ::times], small.result.semantic)  # type: ignore[arg-type]
    for before, after in zip(small.result.segments, large.result.segments, strict=True):
        mask = after.full_mask(large.result.size)[::times, ::times]
        assert np.array_equal(mask, before.full_mask((6, 8)))
    assert enlarged(large) is large
