import json
from pathlib import Path

import pytest

from segtune.data.checks.left_out import left_out_of
from segtune.data.formats import dataset_splits, layout_of, open_dataset
from segtune.errors import DataError
from tests.data import trees


def test_frames_and_videos_are_splits(tmp_path: Path) -> None:
    file = trees.uvo(tmp_path)
    assert layout_of(tmp_path) == layout_of(file) == "uvo"
    assert dataset_splits(tmp_path) == ("train", "val", "val-dense")
    assert dataset_splits(file) == ("val-dense",)
    frames = open_dataset(tmp_path, split="val")
    assert (frames.name, frames.split, frames.vocabulary.names) == (
        "UVO_frame_val",
        "val",
        ("object",),
    )
    assert [frames.sample_id(i) for i in range(2)] == ["1", "30"]
    assert [item.class_id for item in frames[0].instances] == [0, 0]
    assert frames[1].instances == ()
    assert frames[0].instances[0].box_px == (1, 1, 5, 4)


def test_videos_frame_by_frame(tmp_path: Path) -> None:
    dense = open_dataset(trees.uvo(tmp_path))
    assert [len(dense[i].instances) for i in range(2)] == [2, 1]
    assert dense[0].instances[1].mask[:, :2].all()
    assert dense[0].instances[1].mask.sum() == 2 * trees.SIZE[0]
    assert Path(str(dense[1].image)).parts[-3:] == ("uvo_videos_dense_frames", "vid", "30.png")


def test_classes_of_coco_may_stay(tmp_path: Path) -> None:
    dense = open_dataset(f"{trees.uvo(tmp_path)}?labels=1")
    assert dense.vocabulary.names == ("person", "other")
    assert [item.class_id for item in dense[0].instances] == [0, 1]
    with pytest.raises(DataError, match="labels=yes is not an option of UVO"):
        open_dataset(f"{tmp_path}?labels=yes", split="val")


def test_frames_elsewhere(tmp_path: Path) -> None:
    file = trees.uvo(tmp_path)
    for name in ("sparse", "dense"):
        (tmp_path / f"uvo_videos_{name}_frames").rename(tmp_path / name)
    with pytest.raises(DataError, match=r"no vid/1\.png in"):
        open_dataset(file)
    assert len(open_dataset(f"{file}?images={tmp_path / 'dense'}")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_id": 8}, "annotation 3 is of video 8, which is not in its list"),
        ({"segmentations": [None]}, "annotation 3 has 1 masks for the 2 frames of its video"),
        ({"category_id": 5}, r"annotation 3 in vid/1\.png has the category 5"),
        ({"segmentations": [[[1, 1]], None]}, r"3 in vid/1\.png has a polygon of 1 points"),
        ({"segmentations": None}, "annotation 3: segmentations is null; expected a list"),
    ],
)
def test_damaged_videos(tmp_path: Path, change: dict, message: str) -> None:
    file = trees.uvo(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0].update(change)
    trees.save_json(file, content)
    with pytest.raises(DataError, match=message):
        open_dataset(file)


def test_damage_may_be_left_out(tmp_path: Path) -> None:
    file = trees.uvo(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentations"][0] = [[1, 1]]
    trees.save_json(file, content)
    dataset = open_dataset(file, skip_bad=True)
    assert [len(dataset[i].instances) for i in range(2)] == [1, 1]
    assert len(left_out_of(dataset)) == 1
