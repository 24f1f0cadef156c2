import os
from pathlib import Path

import pytest

from segtune.data.formats import camvid
from segtune.errors import DataError, SegtuneError
from segtune.types import IGNORE
from tests.data import trees

BESIDE = Path(__file__).parents[4] / "shared" / "data" / "camvid"
REAL = Path(os.environ.get("SEGTUNE_CAMVID", BESIDE))


def test_read(tmp_path: Path) -> None:
    raw = trees.camvid(tmp_path)
    dataset = camvid.read(tmp_path)
    sample = dataset[0]
    assert sample.id == "0001TP_006690"
    assert sample.semantic is not None
    unlabelled = raw[sample.id] == 11
    assert (sample.semantic[unlabelled] == IGNORE).all()
    assert (sample.semantic[~unlabelled] == raw[sample.id][~unlabelled]).all()
    assert dataset.vocabulary.names[:2] == ("sky", "building")


def test_sequences(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    assert camvid.sequence_of("0006R0_f00930") == "0006R0"
    assert len(camvid.read(tmp_path, sequence="0001TP")) == 2
    assert len(camvid.read(tmp_path, sequence="0001TP+0006R0")) == 3
    with pytest.raises(DataError, match="no sequence 'dusk'; it has 0001TP, 0006R0"):
        camvid.read(tmp_path, sequence="dusk")


def test_splits(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    (tmp_path / "test").mkdir()
    assert camvid.splits(tmp_path) == ("train", "val")
    with pytest.raises(DataError, match="'test' does not exist"):
        camvid.read(tmp_path, split="test")


@pytest.mark.skipif(not REAL.is_dir(), reason="set SEGTUNE_CAMVID to the CamVid folder")
def test_the_real_one() -> None:
    dataset = camvid.read(REAL, split="train")
    assert len(dataset) == 367
    assert len(camvid.read(REAL, split="val")) == 101
    assert len(camvid.read(REAL, split="train", sequence="0001TP")) == 62
    sample = dataset[0]
    assert sample.semantic is not None
    assert sample.semantic.shape == (360, 480)
    assert set(sample.semantic.ravel().tolist()) <= {IGNORE, *range(11)}


def test_sequences_joined_by_plus_in_the_name_of_the_data():
    from segtune.data.formats import _take_apart

    assert _take_apart("camvid?sequence=0006R0+0016E5") == (
        "camvid",
        {"sequence": "0006R0+0016E5"},
    )


def test_objects_are_the_regions_of_things_and_train_has_the_known_ones(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    for split in camvid.splits(tmp_path):
        dataset = camvid.read(tmp_path, split=split, known="car+pedestrian")
        assert [c.name for c in dataset.vocabulary if c.kind == "thing"] == [
            *("pole", "sign symbol", "car", "pedestrian", "bicyclist"),
        ]
        allowed = set(dataset.vocabulary.ids_in("known"))
        if split != "train":
            allowed |= set(dataset.vocabulary.ids_in("unseen"))
        sample = dataset[0]
        assert all(item.class_id in allowed for item in sample.instances)
        assert all(item.mask.sum() >= camvid.SMALLEST for item in sample.instances)
    with pytest.raises(SegtuneError, match="road"):
        camvid.read(tmp_path, known="road")


def test_small_objects_are_left_out(tmp_path: Path) -> None:
    trees.camvid(tmp_path)

    def areas(smallest: str) -> list[int]:
        dataset = camvid.read(tmp_path, split="val", known="car", smallest=smallest)
        return sorted(int(x.mask.sum()) for i in range(len(dataset)) for x in dataset[i].instances)

    every = areas("1")
    assert every[0] < every[-1]
    assert areas(str(every[-1])) == [area for area in every if area == every[-1]]
    with pytest.raises(DataError, match="expected pixels, such as smallest=200"):
        areas("small")
    with pytest.raises(DataError, match="name known things too"):
        camvid.read(tmp_path, split="val", smallest="200")


@pytest.mark.skipif(not REAL.is_dir(), reason="set SEGTUNE_CAMVID to the CamVid folder")
def test_objects_of_the_real_one() -> None:
    found = {
        split: {
            item.class_id
            for index in range(0, 100, 10)
            for item in camvid.read(REAL, split=split, known="car+pedestrian")[index].instances
        }
        for split in ("train", "val")
    }
    assert found["train"] == {8, 9}
    assert {2, 6, 10} <= found["val"]
