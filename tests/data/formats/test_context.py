from pathlib import Path

import numpy as np
import pytest

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


def test_bad_input(tmp_path: Path) -> None:
    trees.context_prepared(tmp_path)
    with pytest.raises(DataError, match="classes=58 is not known; use 59, 60, 459"):
        context.read(tmp_path, classes="58")
    with pytest.raises(DataError, match="no val labels with 60 classes"):
        context.read(tmp_path, classes="60")
