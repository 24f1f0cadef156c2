from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import dataset_splits, layouts, open_dataset, read_vocabulary
from segtune.errors import DataError, SegtuneError
from segtune.types import Dataset
from tests.data import trees

TREES = {
    "index_png": trees.index_png,
    "camvid": trees.camvid,
    "cityscapes": trees.cityscapes,
    "acdc": trees.acdc,
    "bdd100k": trees.bdd100k,
    "mapillary": trees.mapillary,
    "ade20k": trees.ade20k,
    "ade20k_full": trees.ade20k_full,
    "ade20k_2016": trees.ade20k_2016,
    "kitti": trees.kitti,
    "voc": trees.voc,
    "context": trees.context_alphabetical,
    "coco_stuff": lambda root: trees.coco_stuff(root, published=False),
    "coco_instances": trees.coco_instances,
    "coco_panoptic": trees.coco_panoptic,
    "coco_captions": trees.coco_captions,
    "captions": trees.captions,
    "color_png": trees.color_png,
    "voc_project": trees.voc_project,
    "cvat": trees.cvat,
    "labelstudio": trees.labelstudio,
    "supervisely": trees.supervisely,
    "sa1b": trees.sa1b,
    "uvo": trees.uvo,
    "yolo": trees.yolo,
    "labelme": trees.labelme,
}


@pytest.mark.parametrize("layout", [entry.name for entry in layouts()])
def test_every_layout_is_found_by_itself(layout: str, tmp_path: Path) -> None:
    TREES[layout](tmp_path)
    splits = dataset_splits(tmp_path)
    for split in splits:
        dataset = open_dataset(tmp_path, split=split)
        assert isinstance(dataset, Dataset)
        assert dataset.split == split
        for i in range(len(dataset)):
            sample = dataset[i]
            assert sample.id == dataset.sample_id(i)
            pixels = sample.pixels()
            if sample.semantic is not None:
                assert sample.semantic.shape == pixels.shape[:2]
                assert sample.semantic.dtype == np.int32
                assert sample.semantic.max() < len(dataset.vocabulary)
    named = open_dataset(str(tmp_path), layout=layout, split=splits[0])
    assert len(named) == len(open_dataset(tmp_path, split=splits[0]))


def test_open_dataset_prefers_train(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    assert open_dataset(tmp_path).split == "train"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"dataset .*nowhere does not exist; check the path"
    ):
        open_dataset(tmp_path / "nowhere")


def test_unknown_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in no known layout \(index_png, camvid, .*--layout"):
        open_dataset(tmp_path)


def test_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(SegtuneError, match="'camvit' is not a layout; did you mean camvid"):
        open_dataset(tmp_path, layout="camvit")


def test_ambiguous_folder(tmp_path: Path) -> None:
    trees.coco_instances(tmp_path)
    trees.coco_panoptic(tmp_path)
    message = "can be read as coco_instances or as coco_panoptic; choose one with --layout coco_i"
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, layout="coco_panoptic", split="val")) == 1
    file = tmp_path / "annotations" / "panoptic_val2017.json"
    assert open_dataset(file).name == "panoptic_val2017"


def test_class_names_beside_the_folders_settle_it(tmp_path: Path) -> None:
    trees.ade20k(tmp_path)
    (tmp_path / "classes.txt").write_text("\n".join(f"class {i}" for i in range(151)))
    assert len(open_dataset(tmp_path).vocabulary) == 151


def test_wrong_layout_for_the_folder(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    for entry in layouts():
        if entry.name not in ("camvid", "color_png"):  # the latter has such folders too
            with pytest.raises(DataError, match="no images in the folders where this layout"):
                open_dataset(tmp_path, layout=entry.name)


def test_options_follow_a_question_mark(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    assert len(open_dataset(f"{tmp_path}?sequence=0001TP")) == 2
    message = "'city' for .* is not an option of this layout; possible: sequence"
    with pytest.raises(DataError, match=message):
        open_dataset(f"{tmp_path}?city=ulm")
    trees.index_png(tmp_path / "plain")
    with pytest.raises(DataError, match="possible: label_values, ignore_value"):
        open_dataset(f"{tmp_path / 'plain'}?split=val")


def test_vocabulary_replaces_the_names(tmp_path: Path) -> None:
    trees.camvid(tmp_path)
    words = ", ".join(f"word {i}" for i in range(11))
    assert open_dataset(tmp_path, vocabulary=words).vocabulary.names[10] == "word 10"
    with pytest.raises(DataError, match="has 2 classes but camvid labels have 11"):
        open_dataset(tmp_path, vocabulary="road, car")


def test_listing_layouts_is_complete() -> None:
    folder = Path(__file__).parents[3] / "src" / "segtune" / "data" / "formats"
    readers = {
        ".".join(file.relative_to(folder).with_suffix("").parts)
        for file in folder.rglob("*.py")
        if "\ndef detect(" in file.read_text(encoding="utf-8")
    }
    assert {entry.home or entry.name for entry in layouts()} == readers
    assert all(hasattr(entry.module(), "read") for entry in layouts())


def test_the_classes_of_data(tmp_path: Path) -> None:
    assert read_vocabulary("synthetic:jargon").name == "synthetic:jargon"
    assert len(read_vocabulary("synthetic:base?size=64")) == 390
    with pytest.raises(SegtuneError, match="no synthetic world 'bas'"):
        read_vocabulary("synthetic:bas")
    trees.camvid(tmp_path)
    assert "road" in [name.lower() for name in read_vocabulary(str(tmp_path)).names]


def test_words_that_are_no_data() -> None:
    assert read_vocabulary(" road, car ").names == ("road", "car")
    assert read_vocabulary("no/such/folder").names == ("no/such/folder",)
    assert read_vocabulary(["road"], name="street").name == "street"
