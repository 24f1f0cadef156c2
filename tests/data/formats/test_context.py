from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from segtune.data.formats import context
from segtune.errors import DataError
from segtune.types import IGNORE
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.protocols import zero_shot
from tests.data import trees


def test_59_classes_have_one_order_in_both_trees(tmp_path: Path) -> None:
    raw = trees.context_alphabetical(tmp_path / "old" / "VOC2010")
    old = context.read(tmp_path / "old")
    prepared = trees.context_prepared(tmp_path / "new")
    new = context.read(tmp_path / "new")
    assert old.vocabulary == new.vocabulary == builtin("context_59")
    names = builtin("context_60").names
    semantic = old[0].semantic
    assert semantic is not None
    for value in np.unique(raw).tolist():
        found = set(semantic[raw == value].tolist())
        assert found == {builtin("context_59").index(names[value]) if value else IGNORE}
    assert (new[0].semantic == np.where(prepared["59"] == 255, IGNORE, prepared["59"])).all()
    assert len(new) == 1


def test_60_classes(tmp_path: Path) -> None:
    raw = trees.context_alphabetical(tmp_path)
    dataset = context.read(tmp_path, classes="60")
    assert dataset.vocabulary.names[0] == "background"
    assert (dataset[0].semantic == raw).all()
    asked = context.read(tmp_path, vocabulary=zero_shot("context50-10"))
    assert (asked[0].semantic == raw).all()


def test_459_classes_have_16_bit_maps(tmp_path: Path) -> None:
    raw = trees.context_prepared(tmp_path)["459"]
    dataset = context.read(tmp_path, classes="459")
    assert len(dataset.vocabulary) == 459
    assert (dataset[0].semantic == np.where(raw == 65535, IGNORE, raw)).all()
    assert len(context.read(tmp_path, vocabulary=builtin("context_459"))) == 1


def test_459_is_the_default_where_there_is_nothing_else(tmp_path: Path) -> None:
    trees.context_prepared(tmp_path)
    (tmp_path / "annotations_detectron2" / "pc59_val").rename(tmp_path / "away")
    assert context.read(tmp_path).name == "context_459"


@pytest.mark.parametrize("list_file", context.LISTS)
@pytest.mark.parametrize("parent", ["", "VOCdevkit/VOC2010"])
def test_the_release_as_it_is_published(tmp_path: Path, parent: str, list_file: str) -> None:
    raw = trees.context_published(tmp_path / parent, list_file=list_file.format(split="val"))
    assert context.splits(tmp_path) == ("val",)
    everything = context.read(tmp_path, classes="459")
    assert [everything.sample_id(i) for i in range(len(everything))] == ["2008_000002"]
    assert (everything[0].semantic == raw - 1).all()
    frequent = context.read(tmp_path)
    assert frequent.vocabulary == builtin("context_59")
    with_rest = context.read(tmp_path, classes="60")
    names = builtin("context_459").names
    for dataset, rest in ((frequent, IGNORE), (with_rest, 0)):
        semantic = dataset[0].semantic
        assert semantic is not None
        known = dataset.vocabulary.names
        for value in range(1, 460):
            name = names[value - 1]
            expected = known.index(name) if name in known else rest
            assert set(semantic[raw == value].tolist()) == {expected}


def test_class_unknown_is_a_class(tmp_path: Path) -> None:
    raw = trees.context_published(tmp_path)
    semantic = context.read(tmp_path, classes="459")[0].semantic
    assert semantic is not None
    assert set(semantic[raw == 431].tolist()) == {430}
    assert builtin("context_459").names[430] == "unknown"


def test_prepared_maps_come_first(tmp_path: Path) -> None:
    trees.context_published(tmp_path)
    prepared = trees.context_prepared(tmp_path)
    dataset = context.read(tmp_path, classes="59")
    assert (dataset[0].semantic == np.where(prepared["59"] == 255, IGNORE, prepared["59"])).all()
    assert context.read(tmp_path, classes="60").records[0].label is not None
    assert context.read(tmp_path, classes="60").records[0].label.suffix == ".mat"


def test_damaged_mat_files(tmp_path: Path) -> None:
    trees.context_published(tmp_path)
    file = tmp_path / "trainval" / "2008_000002.mat"
    savemat(file, {"other": np.ones((18, 26))})
    with pytest.raises(DataError, match="has no two-dimensional array LabelMap"):
        context.read(tmp_path)[0]
    file.write_bytes(b"not a matrix, not at all, and too short")
    with pytest.raises(DataError, match=r"cannot be read: .*copy the file again"):
        context.read(tmp_path)[0]
    savemat(file, {"LabelMap": np.ones((3, 3), np.uint16)})
    with pytest.raises(DataError, match="labels must have the size of the image"):
        context.read(tmp_path)[0]
    savemat(file, {"LabelMap": np.full((18, 26), 460, np.uint16)})
    with pytest.raises(DataError, match="has the value 460, which is no class"):
        context.read(tmp_path)[0]


def test_bad_input(tmp_path: Path) -> None:
    trees.context_prepared(tmp_path)
    with pytest.raises(DataError, match="classes=58 is not known; use 59, 60, 459"):
        context.read(tmp_path, classes="58")
    with pytest.raises(DataError, match="no val labels with 60 classes"):
        context.read(tmp_path, classes="60")
