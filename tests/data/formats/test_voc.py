from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import voc
from segtune.errors import DataError
from segtune.types import IGNORE
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.protocols import zero_shot
from tests.data import trees


@pytest.mark.parametrize("parent", ["", "VOC2012", "VOCdevkit/VOC2012"])
@pytest.mark.parametrize("augmented", [False, True])
def test_background_is_unlabelled(tmp_path: Path, parent: str, augmented: bool) -> None:
    raw = trees.voc(tmp_path / parent, augmented=augmented)
    dataset = voc.read(tmp_path, split="val")
    assert dataset.vocabulary == builtin("voc_20")
    assert dataset[0].id == "2007_000039"
    expected = np.where((raw == 0) | (raw == 255), IGNORE, raw - 1)
    assert (dataset[0].semantic == expected).all()


def test_background_as_a_class(tmp_path: Path) -> None:
    raw = trees.voc(tmp_path)
    dataset = voc.read(tmp_path, background="class")
    assert dataset.vocabulary.names[:2] == ("background", "aeroplane")
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()
    asked = voc.read(tmp_path, vocabulary=builtin("voc_21"))
    assert (asked[0].semantic == dataset[0].semantic).all()


def test_prepared_maps_are_read_where_there_are_no_others(tmp_path: Path) -> None:
    raw = trees.voc_prepared(tmp_path)
    assert voc.splits(tmp_path) == ("val",)
    dataset = voc.read(tmp_path)
    assert (dataset.name, len(dataset)) == ("voc_20", 1)
    assert (dataset[0].semantic == np.where(raw == 255, IGNORE, raw)).all()
    with pytest.raises(DataError, match="has no background; add SegmentationClassAug/"):
        voc.read(tmp_path, background="class")
    published = trees.voc(tmp_path)
    both = voc.read(tmp_path, split="val", background="class")
    assert (both[0].semantic == np.where(published == 255, IGNORE, published)).all()


def test_lists(tmp_path: Path) -> None:
    trees.voc(tmp_path)
    assert voc.splits(tmp_path) == ("train", "train_aug", "val")
    assert len(voc.read(tmp_path)) == 1
    assert len(voc.read(tmp_path, split="train_aug")) == 2


def test_zero_shot_names_fit(tmp_path: Path) -> None:
    trees.voc(tmp_path)
    dataset = voc.read(tmp_path, vocabulary=zero_shot("voc15-5"))
    assert dataset.vocabulary.ids_in("unseen") == (15, 16, 17, 18, 19)


def test_bad_input(tmp_path: Path) -> None:
    trees.voc(tmp_path)
    with pytest.raises(DataError, match="use background=ignore or =class"):
        voc.read(tmp_path, background="yes")
    (tmp_path / "JPEGImages" / "2007_000039.jpg").unlink()
    with pytest.raises(DataError, match=r"val\.txt names 2007_000039, but .* does not exist"):
        voc.read(tmp_path, split="val")


def test_masks_in_other_colours_are_refused(tmp_path: Path) -> None:
    trees.voc(tmp_path)
    trees.save_image(tmp_path / "SegmentationClassAug" / "2007_000032.png")
    with pytest.raises(DataError, match=r"has the colour .* which is no class"):
        voc.read(tmp_path)[0]
