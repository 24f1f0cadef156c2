"""Forty scenes in every format that can be written, read back; and what formats cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segtune.cli.options.commands import CONVERTED_TO
from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import SegtuneError
from segtune.export.convert import convert
from segtune.export.targets import TARGETS
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary
from tests.data import trees

WORDS = Vocabulary((Concept("grass", kind="stuff"), Concept("cat"), Concept("dog, big")))
STREET = Vocabulary((Concept("road", kind="stuff"), Concept("car"), Concept("person")))
PLAIN = Vocabulary((Concept("grass", kind="stuff"), Concept("cat"), Concept("dog", ("hound",))))
CLASSES = {"cityscapes": STREET, "kitti": STREET, "ade20k": PLAIN}
"""Words for formats that do not hold any."""
OPTIONS = {"cityscapes": {"instances": "1"}}
"""What reads objects back, of layouts that read none by default."""
WITHOUT_OBJECTS = ("kitti",)
"""Layouts whose objects are not read."""
SIZE = (24, 35)
COUNT = 40


def scene(number: int) -> Sample:
    """Returns grass with pixels without a class, and cats and dogs in front, some with holes."""
    random = np.random.default_rng(number)
    semantic = np.where(random.random(SIZE) < 0.9, 0, IGNORE).astype(np.int32)
    semantic[0, :2] = (0, IGNORE)
    soft = ndimage.gaussian_filter(random.normal(size=SIZE), 1.5)
    regions, count = ndimage.label(soft > np.quantile(soft, 0.75))
    instances = []
    for region in range(1, min(count, 6) + 1):
        mask = regions == region
        semantic[mask] = 1 + region % 2
        instances.append(Instance(1 + region % 2, mask))
    image = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return Sample(f"scene{number:02d}", image, semantic, tuple(instances))


@dataclass
class Scenes:
    """Scenes as a dataset."""

    split: str = "all"
    name: str = "scenes"
    vocabulary: Vocabulary = WORDS
    samples: list[Sample] = field(default_factory=lambda: [scene(i) for i in range(COUNT)])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def sample_id(self, index: int) -> str:
        return self.samples[index].id


def painted(sample: Sample) -> np.ndarray:
    """Returns the label map, that of the objects where there is no other."""
    if sample.semantic is not None:
        return sample.semantic
    labels = np.full(sample.instances[0].mask.shape, IGNORE)
    for item in sample.instances:
        labels[item.mask] = item.class_id
    return labels


@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"sa1b"}))
def test_forty_scenes_come_back(tmp_path: Path, to: str) -> None:
    words = CLASSES.get(to, WORDS)
    scenes = Scenes(vocabulary=words)
    done = convert(scenes, tmp_path, to=to)
    lost = {} if TARGETS[to].holds_objects else {"objects, of which only the classes stay": 240}
    if not TARGETS[to].holds_unlabelled:
        unlabelled = sum(np.count_nonzero(painted(s) == IGNORE) for s in scenes.samples)
        lost["pixels without a class, which become background"] = unlabelled
    assert (done.num_images, dict(done.lost)) == (COUNT, lost)
    again = open_dataset(tmp_path, options=OPTIONS.get(to))
    assert set(again.vocabulary.names) >= set(words.names)
    known_ids = {name: i for i, name in enumerate(words.names)}
    ids = np.array([*(known_ids.get(name, IGNORE) for name in again.vocabulary.names), IGNORE])
    assert len(again) == COUNT
    for index in range(COUNT):
        found = again[index]
        known = next(sample for sample in scenes.samples if sample.id == found.id)
        assert (ids[painted(found)] == known.semantic).all()
        assert (found.pixels() == known.pixels()).all()
        if TARGETS[to].holds_objects and to not in WITHOUT_OBJECTS:
            masks = {(ids[i.class_id], i.mask.tobytes()) for i in found.instances}
            assert {(class_id, mask) for class_id, mask in masks if class_id > 0} == {
                (i.class_id, i.mask.tobytes()) for i in known.instances
            }


def test_masks_without_names_come_back(tmp_path: Path) -> None:
    scenes = Scenes()
    done = convert(scenes, tmp_path, to="sa1b")
    assert dict(done.lost) == {"names of objects": done.num_objects}
    again = open_dataset(tmp_path)
    for index in range(COUNT):
        found = again[index]
        known = next(sample for sample in scenes.samples if sample.id == found.id)
        masks = {item.mask.tobytes() for item in found.instances}
        stuff = np.equal(known.semantic, 0).tobytes()
        assert masks == {item.mask.tobytes() for item in known.instances} | {stuff}
    once_more = convert(again, tmp_path / "again", to="sa1b")
    assert (once_more.num_objects, dict(once_more.lost)) == (done.num_objects, {})


@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"cvat", "labelstudio", "sa1b", "kitti"}))
def test_splits_go_into_one_folder(tmp_path: Path, to: str) -> None:
    words = CLASSES.get(to, WORDS)
    for split, part in (("train", slice(0, 3)), ("val", slice(3, 5))):
        scenes = Scenes(split, vocabulary=words, samples=Scenes().samples[part])
        convert(scenes, tmp_path, to=to)
    assert dataset_splits(tmp_path) == ("train", "val")
    assert [len(open_dataset(tmp_path, split=s)) for s in ("train", "val")] == [3, 2]
    for stray in tmp_path.rglob("data.yaml"):
        assert stray.parent == tmp_path


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[2:6, 2:6] = True
    instances = (Instance(1, mask), Instance(2, mask, is_crowd=True), Instance(IGNORE, mask))
    semantic = np.where(mask, 1, IGNORE).astype(np.int32)
    semantic[2, 2] = IGNORE
    sample = Sample(
        "a", np.zeros((*SIZE, 3), np.uint8), semantic, instances, ("A cat.",), np.zeros((3, 2))
    )
    done = convert(Scenes(samples=[sample]), tmp_path, to="cvat")
    assert dict(done.lost) == {
        "captions": 1,
        "clicks": 3,
        "crowd regions": 1,
        "objects without a class": 1,
        "pixels of objects with another class or none": 1,
    }


def test_what_objects_share_is_counted(tmp_path: Path) -> None:
    left, right = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    left[2:6, 2:6], right[2:6, 4:8] = True, True
    sample = Sample(
        "a", np.zeros((*SIZE, 3), np.uint8), None, (Instance(1, left), Instance(1, right))
    )
    done = convert(Scenes(samples=[sample]), tmp_path, to="voc")
    assert dict(done.lost) == {"pixels that several objects share": 8}
    (upper,) = [i for i in open_dataset(tmp_path)[0].instances if i.mask[2, 5]]
    assert (upper.mask == right).all()


def test_classes_that_a_format_does_not_have_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    for to, said in (
        ("cityscapes", "Cityscapes has no class 'grass'"),
        ("kitti", "Cityscapes has no class 'grass'"),
        ("ade20k", "the class 'dog, big' has ',', which separates names in ADE20K"),
    ):
        with pytest.raises(SegtuneError, match=said):
            convert(Scenes(), tmp_path / to, to=to)
        assert not (tmp_path / to).exists()


def test_a_split_that_a_format_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(SegtuneError, match="kitti has no split 'val'; give --split train"):
        convert(Scenes("val", vocabulary=STREET), tmp_path, to="kitti")


def test_photographs_of_two_splits_do_not_replace_each_other(tmp_path: Path) -> None:
    done = convert(Scenes("train"), tmp_path, to="voc")
    with pytest.raises(SegtuneError, match="convert splits one by one"):
        convert(Scenes("val"), tmp_path, to="voc", done=done)


def test_an_error_leaves_no_half_file(tmp_path: Path) -> None:
    trees.labelme(tmp_path / "in")
    dataset = open_dataset(tmp_path / "in")
    (tmp_path / "in" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError):
        convert(dataset, tmp_path / "out", to="coco")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_the_command_line_knows_all_targets() -> None:
    assert set(CONVERTED_TO) == set(TARGETS)


@pytest.mark.parametrize("to", ["coco", "coco-polygons"])
def test_pycocotools_reads_the_same(tmp_path: Path, to: str) -> None:
    import contextlib
    import io

    from pycocotools.coco import COCO

    scenes = Scenes()
    convert(scenes, tmp_path, to=to)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(tmp_path / "annotations" / "instances_all.json"))
    for number, sample in enumerate(scenes.samples, start=1):
        found = known.loadAnns(known.getAnnIds(imgIds=[number], catIds=[2, 3]))
        masks = {known.annToMask(a).astype(bool).tobytes() for a in found}
        assert masks == {item.mask.tobytes() for item in sample.instances}
