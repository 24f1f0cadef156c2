"""What is checked of the files that were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segtune.data.lvis_ow.building import TRAIN_OW, VAL_RESPLIT, Sources, build
from segtune.data.lvis_ow.invariants import check
from segtune.errors import DataError
from tests.data import trees
from tests.data.lvis_ow.sources import AEROSOL, AXE, files, read


def built(folder: Path) -> tuple[Sources, Path]:
    sources = Sources.open(*files(folder).save())
    build(sources, folder / "out", say=lambda _: None)
    return sources, folder / "out"


@pytest.mark.parametrize("merge", ["keep", "drop"])
def test_what_is_true_is_told(tmp_path: Path, merge: str) -> None:
    sources = Sources.open(*files(tmp_path).save())
    build(sources, tmp_path / "out", merge=merge, say=lambda _: None)
    told = check(sources, tmp_path / "out")
    assert "classes: 123 known, 743 seen, 337 unseen, each in one group" in told
    assert "3 + 2 images that moved are those of LVIS train" in told
    assert len(told) == 9


def relabel(content: dict) -> None:
    content["annotations"][0]["category_id"] = AEROSOL


def list_a_moved_image(content: dict) -> None:
    content["images"].append({"id": 4})


def change_an_image(content: dict) -> None:
    content["images"][0]["neg_category_ids"] = [AXE, AEROSOL]


def lose_an_image(content: dict) -> None:
    content["images"].pop(1)


def add_an_image(content: dict) -> None:
    content["images"].append({"id": 12})


def lose_an_object(content: dict) -> None:
    content["annotations"].pop()


def repeat_an_id(content: dict) -> None:
    content["annotations"].append(content["annotations"][0])


def repeat_an_image(content: dict) -> None:
    content["images"].append(content["images"][0])


def orphan(content: dict) -> None:
    content["annotations"][0]["image_id"] = 99


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TRAIN_OW, relabel, "its objects are of 4 classes, all known"),
        (TRAIN_OW, list_a_moved_image, "no image of .* has an unseen class"),
        (TRAIN_OW, change_an_image, "entries of images are those of LVIS"),
        (TRAIN_OW, lose_an_image, r"2 \+ 2 images that moved are those of LVIS train"),
        (VAL_RESPLIT, lose_an_object, "no object of LVIS is lost: 8 in"),
        (VAL_RESPLIT, add_an_image, "validation has 5 images"),
        (VAL_RESPLIT, repeat_an_id, "has two annotations with the id 1"),
        (VAL_RESPLIT, repeat_an_image, "has two images with the id 10"),
        (VAL_RESPLIT, orphan, "annotation 1 is of image 99, which is not in its list"),
    ],
)
def test_what_is_not_true(
    tmp_path: Path, name: str, damage: Callable[[dict], None], message: str
) -> None:
    sources, out = built(tmp_path)
    content = read(out / name)
    damage(content)
    trees.save_json(out / name, content)
    with pytest.raises(DataError, match=message):
        check(sources, out)


def test_ids_that_collide_in_the_sources(tmp_path: Path) -> None:
    content = files(tmp_path)
    content.lvis_val["annotations"][0]["id"] = 2000005  # that of an axe that moves
    sources = Sources.open(*content.save())
    build(sources, tmp_path / "out", say=lambda _: None)
    with pytest.raises(DataError, match="has two annotations with the id 2000005"):
        check(sources, tmp_path / "out")
