"""Forty scenes in every format that can be written, read back; and what formats cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segtune.cli.options.commands import CONVERTED_TO
from segtune.data.formats import dataset_splits, open_dataset
from segtune.export.convert import TARGETS, convert
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary
from tests.data import trees

WORDS = Vocabulary((Concept("grass", kind="stuff"), Concept("cat"), Concept("dog, big")))
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


@pytest.mark.parametrize("to", TARGETS)
def test_forty_scenes_come_back(tmp_path: Path, to: str) -> None:
    scenes = Scenes()
    done = convert(scenes, tmp_path, to=to)
    assert (done.num_images, dict(done.lost)) == (
        COUNT,
        {} if TARGETS[to].holds_objects else {"objects, of which only the classes stay": 240},
    )
    again = open_dataset(tmp_path)
    assert set(again.vocabulary.names) == set(WORDS.names)
    ids = np.array([*map(WORDS.index, again.vocabulary.names), IGNORE])
    assert len(again) == COUNT
    for index in range(COUNT):
        found = again[index]
        known = next(sample for sample in scenes.samples if sample.id == found.id)
        assert (ids[painted(found)] == known.semantic).all()
        assert (found.pixels() == known.pixels()).all()
        if TARGETS[to].holds_objects:
            masks = {(ids[i.class_id], i.mask.tobytes()) for i in found.instances}
            assert {(class_id, mask) for class_id, mask in masks if class_id} == {
                (i.class_id, i.mask.tobytes()) for i in known.instances
            }


@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"cvat", "labelstudio"}))
def test_splits_go_into_one_folder(tmp_path: Path, to: str) -> None:
    for split, part in (("train", slice(0, 3)), ("val", slice(3, 5))):
        convert(Scenes(split, samples=Scenes().samples[part]), tmp_path, to=to)
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
