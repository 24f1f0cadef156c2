"""Masks of users: every accepted form gives the same masks; every other one a clear line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from segtune.data.masks_in import read_masks, without_empty
from segtune.errors import DataError, SegtuneError

SIZE = (4, 6)


@pytest.fixture
def masks() -> np.ndarray:
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 1:3, 2:5] = True
    masks[1, 3, :2] = True
    return masks


def _rle(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}


def _runs(mask: np.ndarray) -> dict:
    """Uncompressed RLE, written by hand: runs down the columns, zeros first."""
    counts, value = [0], False
    for pixel in mask.T.flatten():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


FORMS = {
    "bool": lambda m: m,
    "zeros and ones": lambda m: m.astype(np.uint8),
    "0 and 255": lambda m: m.astype(np.uint8) * 255,
    "float zeros and ones": lambda m: m.astype(np.float32),
    "torch": torch.from_numpy,
    "list of arrays": list,
    "list of tensors": lambda m: list(torch.from_numpy(m)),
    "RLE": lambda m: [_rle(mask) for mask in m],
    "lists of runs": lambda m: [_runs(mask) for mask in m],
    "SAM's list, arrays": lambda m: [{"segmentation": mask, "area": 3} for mask in m],
    "SAM's list, RLE": lambda m: [{"segmentation": _rle(mask)} for mask in m],
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_memory(masks, form):
    read = read_masks(FORMS[form](masks), SIZE)
    assert read.dtype == bool
    assert np.array_equal(read, masks)


def test_one_and_none(masks):
    assert np.array_equal(read_masks(masks[0], SIZE), masks[:1])
    assert read_masks([], SIZE).shape == (0, *SIZE)
    assert read_masks(masks[:0], SIZE).shape == (0, *SIZE)


def test_polygons(masks):
    square = [[2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]]
    assert np.array_equal(read_masks([{"segmentation": square}], SIZE), masks[:1])


def _json(masks: np.ndarray, form: str) -> object:
    entries = [{"segmentation": _rle(mask), "image_id": 7} for mask in masks]
    if form == "result list":
        return entries
    if form == "SA-1B":
        return {"image": {"image_id": 7}, "annotations": entries}
    if form == "by image":
        return {"a.jpg": [_rle(mask) for mask in masks], "b.jpg": []}
    images = [{"id": 6, "file_name": "x/b.jpg"}, {"id": 7, "file_name": "x/a.jpg"}]
    return {"images": images, "annotations": entries, "categories": []}


@pytest.mark.parametrize("form", ["result list", "SA-1B", "by image", "COCO"])
def test_json(masks, tmp_path, form):
    file = tmp_path / "masks.json"
    file.write_text(json.dumps(_json(masks, form)))
    assert np.array_equal(read_masks(file, SIZE, image="photos/a.jpg"), masks)
    if form in ("by image", "COCO"):
        assert np.array_equal(read_masks(file, SIZE, image="a.jpg", only_image=False), masks)
        assert len(read_masks(str(file), SIZE, image="b.jpg", only_image=False)) == 0
        with pytest.raises(DataError, match=r"none for c.jpg; its images are"):
            read_masks(file, SIZE, image="c.jpg")
    else:
        with pytest.raises(DataError, match="has no masks for a; for several images"):
            read_masks(file, SIZE, image="a.jpg", only_image=False)


def test_pictures(masks, tmp_path):
    np.save(tmp_path / "masks.npy", masks)
    assert np.array_equal(read_masks(tmp_path / "masks.npy", SIZE), masks)
    index = masks[0] * 2 + masks[1] * 9
    Image.fromarray(index.astype(np.uint8)).save(tmp_path / "index.png")
    assert np.array_equal(read_masks(tmp_path / "index.png", SIZE), masks)
    folder = tmp_path / "of_a"
    folder.mkdir()
    Image.fromarray(masks[0]).save(folder / "0.png")
    Image.fromarray(masks[1].astype(np.uint8) * 255).convert("RGB").save(folder / "1.png")
    assert np.array_equal(read_masks(folder, SIZE, image="photo.jpg"), masks)
    folder.rename(tmp_path / "a")
    assert np.array_equal(read_masks(tmp_path, SIZE, image="a.jpg", only_image=False), masks)
    assert np.array_equal(read_masks(tmp_path, SIZE, image="index.jpg", only_image=False), masks)
    with pytest.raises(DataError, match="has no masks for c; for several images"):
        read_masks(tmp_path, SIZE, image="c.jpg", only_image=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 5, 6), bool), "masks are 6x5 but the image is 6x4; resize them"),
        (np.zeros((2, 6, 4), bool), "masks are 4x6 but the image is 6x4; turn them, as the image"),
        (np.zeros((1, 2, 4, 6), bool), r"have the shape \(1, 2, 4, 6\); expected \(N, H, W\) bool"),
        (np.full((2, 4, 6), 0.3), "masks are float64 from 0.3 to 0.3; threshold them first"),
        (np.full((2, 4, 6), 7), "threshold them first"),
        (np.array([np.zeros(SIZE), np.full(SIZE, np.nan)]), "NaN in number 1, counted from 0"),
        (np.full((1, 4, 6), "a"), "masks are of type <U1; expected"),
        (3, "masks are a int; expected"),
        ([np.zeros((1, 4, 6), bool)], r"mask 0 has the shape \(1, 4, 6\); expected \(H, W\)"),
        ([{"size": [5, 6], "counts": [30]}], "mask 0 is a mask of 6x5 on an image of 6x4"),
        ([{"counts": "a"}], "mask 0 has no segmentation; expected COCO RLE or polygons"),
        ([None], "mask 0 has no segmentation"),
    ],
)
def test_what_does_not_fit(given, message):
    with pytest.raises(SegtuneError, match=message):
        read_masks(given, SIZE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"7", "holds no masks"),
        ("a.json", b"[1, 2]", "entries that are no masks"),
        ("a.json", b'{"a": 1}', "holds no masks"),
        ("a.json", b'[{"image_id": 1}, {"image_id": 2}]', "for several images give"),
        ("a.npy", b"what", "not a numpy file"),
        ("a.txt", b"what", "no file of masks"),
        ("a.png", b"what", "not a readable picture"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_masks(tmp_path / name, SIZE)


def test_missing_and_empty_places(tmp_path):
    with pytest.raises(FileNotFoundError, match="do not exist; check the path"):
        read_masks(tmp_path / "absent.json", SIZE)
    with pytest.raises(DataError, match="has no masks; expected one PNG per mask"):
        read_masks(tmp_path, SIZE)


def test_empty_masks_are_named_or_skipped(masks):
    some = np.concatenate([masks[:1], np.zeros((1, *SIZE), bool), masks[1:]])
    with pytest.raises(SegtuneError, match="1 of 3 masks are empty: number 1, counted from 0"):
        without_empty(some, "refuse")
    kept, places = without_empty(some, "skip")
    assert np.array_equal(kept, masks)
    assert places == [0, 2]
    with pytest.raises(SegtuneError, match=r"7 of 7 .* number 0, 1, 2, 3, 4, \.\.\., counted"):
        without_empty(np.zeros((7, *SIZE), bool), "refuse")
