from pathlib import Path

import pytest

from segtune.data.formats import mapillary, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees


@pytest.mark.parametrize("release_2", [False, True])
def test_read(tmp_path: Path, release_2: bool) -> None:
    raw = trees.mapillary(tmp_path, release_2=release_2)
    dataset = mapillary.read(tmp_path)
    semantic = dataset[0].semantic
    assert semantic is not None
    names = dataset.vocabulary
    expected = {13: "road", 24: "road", 2: "sidewalk", 47: "pole", 21: "rider", 58: "train"}
    for value, name in expected.items():
        assert set(semantic[raw == value].tolist()) == {names.index(name)}
    for value in (0, 14, 65):
        assert set(semantic[raw == value].tolist()) == {IGNORE}


def test_strict_reduction(tmp_path: Path) -> None:
    raw = trees.mapillary(tmp_path)
    semantic = mapillary.read(tmp_path, reduction="strict")[0].semantic
    assert semantic is not None
    assert set(semantic[raw == 13].tolist()) == {0}
    for value in (24, 41, 2, 47):
        assert set(semantic[raw == value].tolist()) == {IGNORE}
    with pytest.raises(DataError, match="use robustnet, strict or none"):
        mapillary.read(tmp_path, reduction="loose")


def test_every_class_has_a_source() -> None:
    for reduction in mapillary.REDUCTIONS.values():
        values = [value for sources in reduction.values() for value in sources]
        assert len(reduction) == 19
        assert len(values) == len(set(values))
        assert max(values) < mapillary.NUM_CLASSES


def test_release_2_without_its_configuration(tmp_path: Path) -> None:
    trees.mapillary(tmp_path, release_2=True)
    (tmp_path / "config_v1.2.json").unlink()
    assert mapillary.detect(tmp_path) == 1
    assert open_dataset(tmp_path).name == "mapillary"


def test_all_classes_of_release_2(tmp_path: Path) -> None:
    trees.mapillary(tmp_path, release_2=True)
    values = trees.noise(0, 3, size=(8, 10))
    file = tmp_path / "validation" / "v2.0" / "labels" / "0daXeyRwVJPbVfXW.png"
    trees.save_map(file, values, palette=True)
    labels = [
        {"readable": "Bird", "name": "animal--bird", "instances": True, "color": [165, 42, 42]},
        {"readable": "Road", "name": "flat--road", "instances": False, "color": [128, 64, 128]},
        {
            "readable": "Unlabeled",
            "name": "void--unlabeled",
            "instances": False,
            "color": [0, 0, 0],
        },
    ]
    trees.save_json(tmp_path / "config_v2.0.json", {"labels": labels})
    dataset = open_dataset(f"{tmp_path}?reduction=none")
    assert [(c.name, c.kind) for c in dataset.vocabulary] == [("Bird", "thing"), ("Road", "stuff")]
    semantic = dataset[0].semantic
    assert semantic is not None
    assert ((semantic == IGNORE) == (values == 2)).all()
    assert ((semantic == 1) == (values == 1)).all()
    (tmp_path / "config_v2.0.json").write_text('{"labels": []}')
    with pytest.raises(DataError, match="lists no classes"):
        open_dataset(f"{tmp_path}?reduction=none")
