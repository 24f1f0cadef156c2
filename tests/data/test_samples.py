import pickle
from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import open_dataset
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader, Subset, as_segmentation
from segtune.errors import DataError
from segtune.types import IGNORE, Dataset, Instance, Sample, Vocabulary
from tests.data import trees

ROAD = Vocabulary.of("road", "car")
LOADER = SemanticLoader(ValueMap.plain(2))


def test_follows_the_protocol_and_travels_to_other_processes(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, Dataset)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [sample.id for sample in copy] == ["a", "b"]
    assert (copy[0].semantic == dataset[0].semantic).all()
    with pytest.raises(IndexError):
        dataset[2]


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "no images in the split 'val'"), (["a", "a"], "two samples named 'a'")],
)
def test_refuses_empty_and_repeated(ids: list[str], message: str) -> None:
    records = [Record(name, Path("a.jpg")) for name in ids]
    with pytest.raises(DataError, match=message):
        IndexedDataset("mine", "val", ROAD, records, LOADER)


def test_a_record_without_label_has_no_semantic_map() -> None:
    assert LOADER(Record("a", Path("a.jpg"))).semantic is None


def test_labels_are_read_only_when_asked_for(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    dataset = open_dataset(tmp_path)
    (tmp_path / "labels" / "b.png").unlink()
    assert dataset[0].semantic is not None
    assert dataset.sample_id(1) == "b"
    with pytest.raises(FileNotFoundError, match=r"label map .*b\.png does not exist"):
        dataset[1]


def test_subset_is_a_view(tmp_path: Path) -> None:
    trees.index_png(tmp_path, names=("a", "b", "c"))
    subset = Subset(open_dataset(tmp_path), (2, 0))
    assert isinstance(subset, Dataset)
    assert [subset.sample_id(i) for i in range(len(subset))] == ["c", "a"]
    assert [sample.id for sample in subset] == ["c", "a"]
    assert subset.vocabulary.names[0] == "class 0"


def test_as_segmentation_leaves_out_what_is_no_result() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    instances = (
        Instance(1, mask),
        Instance(1, ~mask, is_crowd=True),
        Instance(IGNORE, mask),
        Instance(0, np.zeros_like(mask)),
    )
    sample = Sample("a", np.zeros((4, 5, 3), np.uint8), None, instances)
    result = as_segmentation(sample, ROAD)
    assert result.size == (4, 5)
    assert [segment.class_id for segment in result.segments] == [1]
    assert (result.segments[0].full_mask((4, 5)) == mask).all()


def test_some_classes_keep_their_labels_under_new_ids():
    from segtune.data.samples import SomeClasses
    from segtune.data.synthetic import SyntheticDataset

    whole = SyntheticDataset("jargon", "val", size=(64, 64), length=2)
    ids = [20, 3, 5]
    part = SomeClasses(whole, ids)
    assert part.vocabulary.names == tuple(whole.vocabulary.names[i] for i in ids)
    for index in range(2):
        before, after = whole[index], part[index]
        for new, old in enumerate(ids):
            assert ((after.semantic == new) == (before.semantic == old)).all()
        assert (after.semantic == -1).sum() == sum(
            (before.semantic == i).sum() for i in range(-1, 24) if i not in ids
        )
        assert [ids[i.class_id] for i in after.instances] == [
            i.class_id for i in before.instances if i.class_id in ids
        ]
    assert part.sample_id(1) == whole.sample_id(1)


def test_lists_of_absent_classes_follow_their_classes() -> None:
    from dataclasses import replace

    from segtune.data.samples import SomeClasses
    from segtune.data.synthetic import SyntheticDataset

    class Listed(SyntheticDataset):
        absent: tuple[int, ...] | None = (3, 7)

        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return replace(sample, absent_ids=self.absent, not_exhaustive_ids=(20, 1))

    whole = Listed("jargon", "val", size=(64, 64), length=1)
    sample = SomeClasses(whole, [20, 3, 5])[0]
    assert (sample.absent_ids, sample.not_exhaustive_ids) == ((1,), (0,))
    whole.absent = None
    assert SomeClasses(whole, [20, 3])[0].absent_ids is None
