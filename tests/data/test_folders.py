from pathlib import Path

import pytest

from segtune.data.folders import (
    choose_split,
    find_files,
    inside,
    named_as,
    pair_by_stem,
    read_stems,
)
from segtune.errors import DataError
from segtune.types import Vocabulary


def test_find_files_is_sorted_and_skips_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPG", ".hidden.jpg", "._a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [file.name for file in find_files(tmp_path)] == ["a.JPG", "b.jpg"]


def test_pair_by_stem_strips_endings_and_tells_what_is_alone() -> None:
    images = [Path("a_img.jpg"), Path("b_img.jpg")]
    labels = [Path("a_ids.png"), Path("a_color.png"), Path("c_ids.png")]
    records = pair_by_stem(images, labels, image_ending="_img", label_ending="_ids")
    assert [(r.id, r.label) for r in records] == [("a", Path("a_ids.png"))]
    assert [(each.name, each.why) for each in records.left_out] == [
        ("b_img.jpg", "an image without a label map"),
        ("c_ids.png", "a label map without an image"),
    ]


def test_two_label_maps_of_one_image_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.png and a\.tif are label maps of one image"):
        pair_by_stem([Path("a.jpg")], [Path("a.png"), Path("a.tif")])


def test_pair_by_stem_says_which_label_it_expected() -> None:
    with pytest.raises(DataError, match=r"for a\.jpg expected a_ids\.png"):
        pair_by_stem([Path("a.jpg")], [Path("b_ids.png")], label_ending="_ids")


def test_read_stems_takes_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("one\n\n/x/two.jpg /y/two.png\n", encoding="utf-8-sig")
    assert read_stems(tmp_path / "list.txt") == ["one", "two"]


@pytest.mark.parametrize(
    ("available", "split", "expected"),
    [
        (("train", "val"), None, "train"),
        (("val",), None, "val"),
        (("train", "val"), "val", "val"),
        (("train", "val"), "validation", "val"),
        (("train", "val"), "val2017", "val"),
        (("all",), None, "all"),
        (("train_aug",), "train_aug", "train_aug"),
    ],
)
def test_choose_split(available: tuple[str, ...], split: str | None, expected: str) -> None:
    assert choose_split(available, split, path=Path("x")) == expected


@pytest.mark.parametrize(
    ("available", "split", "message"),
    [
        ((), None, "no images in the folders"),
        (("val", "test"), None, "choose --split val or test"),
        (("train", "val"), "test", "'test' does not exist in x; choose --split train or val"),
        (("all",), "val", "not divided into splits; leave --split val out"),
    ],
)
def test_choose_split_explains(available: tuple[str, ...], split: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose_split(available, split, path=Path("x"))


def test_named_as_wants_one_name_per_class() -> None:
    own = Vocabulary.of("a", "b")
    assert named_as(own, None, layout="x") is own
    assert named_as(own, Vocabulary.of("c", "d"), layout="x").names == ("c", "d")
    with pytest.raises(DataError, match="has 1 classes but x labels have 2"):
        named_as(own, Vocabulary.of("c"), layout="x")


def test_names_in_data_stay_inside_of_its_folder(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data / "a", other):
        folder.mkdir(parents=True)
        (folder / "x.jpg").touch()
    (data / "out").symlink_to(other)
    (data / "out.jpg").symlink_to(other / "x.jpg")
    (data / "in.jpg").symlink_to(data / "a" / "x.jpg")
    for name in ("a/x.jpg", "a/../a/x.jpg", "in.jpg", "none.jpg"):
        assert inside(data, name, where="f.json") == data / name
    for name in ("../other/x.jpg", str(other / "x.jpg"), "out/x.jpg", "out.jpg", "a/../../x.jpg"):
        with pytest.raises(DataError, match=r"f.json names .* outside of"):
            inside(data, name, where="f.json")
    for name in ("", "a\0b", "x" * 5000):
        with pytest.raises(DataError, match="no name of a file"):
            inside(data, name, where="f.json")
