from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segtune.data.protocols import open_for, with_protocol
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import DataError, SegtuneError
from segtune.types import IGNORE
from segtune.vocabulary.protocols import find_protocol, protocol_names
from tests.data import trees
from tests.data.lvis_ow.sources import coco_val, lvis_val


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    """Every data set of the benchmarks below one folder, as published."""
    trees.ade20k(tmp_path / "ADEChallengeData2016")
    trees.ade20k_full(tmp_path / "ADE20K_2021_17_01")
    trees.context_published(tmp_path / "VOCdevkit" / "VOC2010")
    trees.voc(tmp_path / "VOCdevkit" / "VOC2012")
    trees.coco_stuff(tmp_path / "coco", published=True)
    trees.cityscapes(tmp_path / "cityscapes")
    return tmp_path


@pytest.mark.parametrize("name", protocol_names("semantic"))
def test_one_folder_serves_all_protocols(datasets: Path, name: str) -> None:
    protocol = find_protocol(name)
    dataset = open_for(name, datasets, split="val")
    assert dataset.vocabulary == protocol.classes()
    assert name in dataset.name
    assert dataset.split == "val"
    semantic = dataset[0].semantic
    assert semantic is not None
    assert IGNORE <= semantic.min() <= semantic.max() < len(dataset.vocabulary)
    assert dataset.sample_id(0) == dataset[0].id


OBJECTS = {
    "LVIS-OW": ("lvis", {"known": 123, "seen": 743, "unseen": 337}),
    "LVIS-1203": ("lvis", {}),
    "VOC-to-COCO": ("coco", {"known": 20, "unseen": 60}),
    "COCO-to-UVO": ("uvo", {}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_protocols_of_objects(tmp_path: Path, name: str) -> None:
    place, groups = OBJECTS[name]
    spec = str({"lvis": lvis_val, "coco": coco_val, "uvo": trees.uvo}[place](tmp_path))
    protocol = find_protocol(name)
    dataset = open_for(name, spec)
    assert dataset.vocabulary == protocol.classes()
    counts = {group: len(dataset.vocabulary.ids_in(group)) for group in groups}
    assert counts == groups
    assert sum(groups.values()) in (0, len(dataset.vocabulary))
    assert dataset[0].instances
    assert protocol.task in ("open-world", "class-agnostic")
    assert set(OBJECTS) == set(protocol_names()) - set(protocol_names("semantic"))


def test_background_is_scored_where_the_protocol_says_so(datasets: Path) -> None:
    without, named = (open_for(name, datasets, split="val") for name in ("PAS-20", "PAS-20b"))
    few, many = without[0].semantic, named[0].semantic
    assert few is not None
    assert many is not None
    np.testing.assert_array_equal(few, np.where(many <= 0, IGNORE, many - 1))
    assert (many == 0).any()


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        (trees.ade20k_prepared, "A-150"),
        (trees.ade20k_full_prepared, "A-847"),
        (trees.context_prepared, "PC-459"),
        (trees.voc_prepared, "PAS-20"),
    ],
)
def test_prepared_trees(tmp_path: Path, tree: Callable[[Path], object], name: str) -> None:
    tree(tmp_path)
    assert open_for(name, tmp_path, split="val").vocabulary == find_protocol(name).classes()


def test_other_layouts_must_have_the_classes(tmp_path: Path) -> None:
    trees.index_png(tmp_path, classes=20)
    with pytest.raises(SegtuneError, match="choose the protocol of this data set"):
        open_for("voc15-5", tmp_path)
    names = find_protocol("voc15-5").classes().names
    (tmp_path / "classes.txt").write_text("\n".join(names))
    assert open_for("voc15-5", tmp_path).vocabulary.ids_in("unseen") == (15, 16, 17, 18, 19)


def test_protocols_belong_to_their_data(datasets: Path) -> None:
    with pytest.raises(SegtuneError, match="voc15-5"):
        with_protocol(SyntheticDataset("base", "val"), "voc15-5")
    with pytest.raises(SegtuneError, match="'PC-60' is not a protocol"):
        open_for("PC-60", datasets)
    with pytest.raises(DataError, match="is in no known layout"):
        open_for("PC-59", datasets / "ADE20K_2021_17_01" / "images")
    with pytest.raises(FileNotFoundError):
        open_for("PC-59", datasets / "nowhere")
