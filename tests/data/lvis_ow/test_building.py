"""Every rule of LVIS-OW on small files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segtune.data.formats import open_dataset
from segtune.data.formats.coco import instances
from segtune.data.lvis_ow import building
from segtune.data.lvis_ow.building import (
    RECORD,
    TRAIN_OW,
    TRAIN_RESPLIT,
    VAL_RESPLIT,
    Sources,
    build,
)
from segtune.errors import DataError
from segtune.vocabulary.protocols import find_protocol
from tests.data import trees
from tests.data.lvis_ow.sources import AXE, BANNER, PERSON, Files, files, read


def built(content: Files, **options) -> Path:
    out = content.folder / "out"
    build(Sources.open(*content.save()), out, say=lambda _: None, **options)
    return out


def items(content: dict) -> list[tuple[int, int, int]]:
    """Returns (id, image, category) of every object."""
    return [(x["id"], x["image_id"], x["category_id"]) for x in content["annotations"]]


@pytest.mark.parametrize("merge", ["keep", "drop"])
def test_training_shows_known_classes_only(tmp_path: Path, merge: str) -> None:
    content = files(tmp_path)
    train = read(built(content, merge=merge) / TRAIN_OW)
    # Ids of COCO follow 9, the largest of LVIS train.
    of_coco = [(16, 1, PERSON), (900100000010, 3, PERSON), (23, 3, 3)]
    of_lvis = [(1, 1, PERSON), (3, 1, BANNER)] if merge == "keep" else [(3, 1, BANNER)]
    assert items(train) == of_lvis + of_coco
    assert train["images"] == content.lvis_train["images"][:3]
    assert train["categories"] == content.lvis_train["categories"]
    assert [x["iscrowd"] for x in train["annotations"]][-3:] == [0, 1, 0]
    crowd = next(x for x in train["annotations"] if x["iscrowd"])
    assert crowd["segmentation"] == {"size": [6, 8], "counts": [8, 8, 32]}


def test_images_with_a_rare_class_move_with_all_objects(tmp_path: Path) -> None:
    content = files(tmp_path)
    out = built(content)
    val, train = read(out / VAL_RESPLIT), read(out / TRAIN_RESPLIT)
    moved = [(2000005, 4, AXE), (2000006, 4, PERSON), (2000009, 5, AXE)]
    assert items(val) == [*items(content.lvis_val), *moved]
    assert val["images"] == content.lvis_val["images"] + content.lvis_train["images"][3:]
    assert items(train) == items(content.lvis_train)[:4]
    assert train["images"] == content.lvis_train["images"][:3]
    first = train["annotations"][0]
    assert first == content.lvis_train["annotations"][0] | {"iscrowd": 0}


def test_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    first, again = (built(files(tmp_path / name)) for name in "ab")
    for name in (TRAIN_OW, TRAIN_RESPLIT, VAL_RESPLIT, RECORD):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_a_second_run_writes_what_lacks(tmp_path: Path, monkeypatch) -> None:
    content = files(tmp_path)
    sources = Sources.open(*content.save())
    out = tmp_path / "out"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(building._WRITERS, VAL_RESPLIT, fail)
        with pytest.raises(KeyboardInterrupt):
            build(sources, out, say=lambda _: None)
    assert sorted(path.name for path in out.iterdir()) == sorted([RECORD, TRAIN_OW, TRAIN_RESPLIT])
    said: list[str] = []
    build(sources, out, say=said.append)
    assert [line.split(": ")[0].split()[-2:] for line in said] == [
        ["is", "finished"],
        ["is", "finished"],
        [str(out / VAL_RESPLIT), "written"],
    ]
    whole = (out / TRAIN_OW).read_bytes()
    (out / TRAIN_OW).write_bytes(whole.replace(b'"iscrowd":1', b'"iscrowd":0'))
    said.clear()
    build(sources, out, say=said.append)
    assert "written" in said[0]
    assert "written" not in said[1] + said[2]
    assert (out / TRAIN_OW).read_bytes() == whole
    said.clear()
    build(sources, out, merge="drop", say=said.append)
    assert all("written" in line for line in said)


def test_files_of_another_data_set_are_refused(tmp_path: Path) -> None:
    content = files(tmp_path)
    lvis_train, lvis_val, coco = content.save()
    with pytest.raises(DataError, match=r"category 1 is 'person'; LVIS v1 calls it 'aerosol_can'"):
        Sources.open(coco, lvis_val, coco)
    with pytest.raises(
        DataError, match=r"category 1 is 'aerosol_can'; COCO 2017 calls it 'person'"
    ):
        Sources.open(lvis_train, lvis_val, lvis_train)
    content.lvis_val["categories"][0]["frequency"] = "r"
    content.save()
    with pytest.raises(
        DataError, match="category 1 has the frequency 'r', another than in LVIS v1"
    ):
        Sources.open(lvis_train, lvis_val, coco)
    content.coco["categories"].clear()
    trees.save_json(coco, content.coco)
    content.lvis_val["categories"][0]["frequency"] = "f"
    content.save()
    with pytest.raises(DataError, match="has no class of COCO 2017"):
        Sources.open(lvis_train, lvis_val, coco)


def test_files_open_as_data_sets(tmp_path: Path) -> None:
    out = built(files(tmp_path))
    for image_id in (1, 2, 3, 4, 5, 10, 11):
        split = "val" if image_id > 9 else "train"
        trees.save_image(tmp_path / "coco" / f"{split}2017" / f"{image_id:012}.jpg")
    train = instances.read(out / TRAIN_OW, images=str(tmp_path / "coco"))
    assert (train.split, len(train), len(train.vocabulary)) == ("train", 3, 1203)
    assert train[0].absent_ids == (AXE - 1,)
    assert train[0].not_exhaustive_ids == (0,)
    assert train[1].absent_ids == ()
    assert [item.class_id for item in train[0].instances] == [PERSON - 1, BANNER - 1, PERSON - 1]
    assert train.vocabulary.concepts[0].group == "frequent"
    spec = f"{out / TRAIN_OW}?images={tmp_path / 'coco'}&groups="
    tagged = open_dataset(spec + "lvis-ow").vocabulary
    assert len(tagged.ids_in("known")) == 123
    with pytest.raises(
        DataError, match=r"is about 80 classes \(person, ...\), but lvis_v1_train_ow"
    ):
        open_dataset(spec + "VOC-to-COCO")
    val = instances.read(
        out / VAL_RESPLIT,
        images=str(tmp_path / "coco"),
        vocabulary=find_protocol("LVIS-OW").classes(),
    )
    assert [item.class_id for item in val[2].instances] == [AXE - 1, PERSON - 1]
    assert json.loads((out / RECORD).read_text())["merge"] == "keep"
