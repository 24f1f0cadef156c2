"""Many results, several formats, one folder."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.export.folder import ResultFolder
from segtune.export.sinks import SINKS, ImageRef
from segtune.ops.segments import segments_from_semantic
from segtune.types import Segmentation
from segtune.viz.palette import coloured
from tests.export.results import IMAGE, WORDS, answer

ANSWERS = {"a": answer(), "b": answer(last=0)}


def test_all_formats_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ANSWERS:
        Image.fromarray(IMAGE).save(tmp_path / "in" / f"{name}.png")
    refs = {name: ImageRef(i, f"{name}.png") for i, name in enumerate(ANSWERS, start=1)}
    out = tmp_path / "out"
    with ResultFolder(out, WORDS, formats=tuple(SINKS), images=refs, things_only=True) as folder:
        for name, result in ANSWERS.items():
            folder.add(name, IMAGE, result)
    assert [path.name for path in folder.written] == [
        "vocabulary.json",
        "overlays",
        "labels",
        "instances.json",
        "panoptic.json",
        "panoptic",
        "labelme",
        "annotations.xml",
        "labels",
        "data.yaml",
        "labelstudio.json",
        "results.json",
        "lvis.json",
        "polygons.json",
        "SegmentationClass",
        "SegmentationObject",
        "all.txt",
        "SegmentationClass",
        "SegmentationObject",
        "default.txt",
        "labels",
        "class_dict.csv",
        "ann",
        "meta.json",
        "sa1b",
    ]
    assert all(path.exists() for path in folder.written)
    assert Image.open(out / "overlays" / "a.png").size[0] >= 8

    labels = np.asarray(Image.open(out / "labels" / "a.png"))
    assert (labels[0, 0], labels[1, 1], labels[5, 7]) == (255, 0, 1)
    assert json.loads((out / "vocabulary.json").read_text())["classes"][1]["kind"] == "stuff"

    things = open_dataset(f"{out / 'instances.json'}?images={tmp_path / 'in'}")
    assert [len(things[i].instances) for i in range(len(things))] == [1, 2]
    panoptic = open_dataset(f"{out / 'panoptic.json'}?images={tmp_path / 'in'}")
    np.testing.assert_array_equal(panoptic[1].semantic, ANSWERS["b"].semantic)
    assert panoptic.vocabulary.names == WORDS.names


def test_stuff_is_listed_where_it_was_asked_for(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, WORDS, formats=["coco"]) as folder:
        folder.add("a", IMAGE, ANSWERS["a"])
    content = json.loads((tmp_path / "instances.json").read_text())
    assert len(content["annotations"]) == 2


def test_an_error_leaves_the_files_of_before(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text("old")
    folder = ResultFolder(tmp_path, WORDS, formats=["coco", "png"])

    def fails() -> None:
        with folder:
            folder.add("a", IMAGE, ANSWERS["a"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert (tmp_path / "instances.json").read_text() == "old"
    assert (tmp_path / "labels" / "a.png").is_file()
    assert not list(tmp_path.rglob(".*"))


def test_nothing_is_written_before_the_first_result(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out", WORDS, formats=["coco"]) as folder:
        assert not (tmp_path / "out").exists()
    assert folder.written == []
    assert not (tmp_path / "out").exists()
    with pytest.raises(SegtuneError, match="'coc' is not a format; did you mean coco"):
        ResultFolder(tmp_path, WORDS, formats=["coc"])


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 60)).astype(np.int32)
    result = Segmentation((60, 60), WORDS, labels, segments_from_semantic(labels, WORDS)[:40])
    refs = {f"{i}": ImageRef(i, f"{i}.png") for i in range(100)}

    def peak(count: int) -> int:
        tracemalloc.start()
        place = tmp_path / str(count)
        with ResultFolder(place, WORDS, formats=["coco", "panoptic"], images=refs) as folder:
            for i in range(count):
                folder.add(str(i), None, result)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)
    written = (tmp_path / "2" / "instances.json").stat().st_size / 2
    assert peak(60) < peak(10) + 5 * written  # of 50 more images


def test_files_are_those_of_the_sinks_one_after_the_other(tmp_path: Path) -> None:
    results = [ANSWERS["ab"[i % 2]] for i in range(9)]
    formats = ["overlay", "png", "coco"]
    with ResultFolder(tmp_path / "behind", WORDS, formats=formats) as folder:
        for i, result in enumerate(results):
            folder.add(str(i), IMAGE, result)
    for name in formats:
        sink = SINKS[name].make()
        sink.open(tmp_path / "plain" / SINKS[name].place, coloured(WORDS))
        for i, result in enumerate(results):
            sink.add(str(i), IMAGE, result)
        sink.close()
    files = [path for path in sorted((tmp_path / "plain").rglob("*")) if path.is_file()]
    assert len(files) == 19
    for path in files:
        other = tmp_path / "behind" / path.relative_to(tmp_path / "plain")
        assert other.read_bytes() == path.read_bytes(), path


def test_an_image_that_cannot_be_written_ends_it_after_those_before(tmp_path: Path) -> None:
    bare = Segmentation((8, 8), WORDS, None, ())

    def fails() -> None:
        with ResultFolder(tmp_path, WORDS, formats=["png", "coco"]) as folder:
            for i, result in enumerate([ANSWERS["a"], ANSWERS["b"], bare, ANSWERS["a"]]):
                folder.add(str(i), IMAGE, result)

    with pytest.raises(SegtuneError, match="no label map"):
        fails()
    assert sorted(p.name for p in (tmp_path / "labels").iterdir()) == ["0.png", "1.png"]
    assert not (tmp_path / "instances.json").exists()
