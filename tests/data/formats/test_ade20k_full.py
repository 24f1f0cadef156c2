from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import ade20k_full, open_dataset
from segtune.data.formats.ade20k_full import benchmark_size, object_ids, shrunk
from segtune.errors import DataError
from segtune.types import IGNORE
from segtune.vocabulary.builtin import builtin, category_ids
from tests.data import trees


def slow_classes(object_ids: np.ndarray) -> np.ndarray:
    """The class of every pixel, one by one."""
    ids = category_ids("ade20k_847")
    classes = [ids.index(i) if i in ids else IGNORE for i in object_ids.ravel().tolist()]
    return np.array(classes).reshape(object_ids.shape)


@pytest.mark.parametrize("parent", ["", "ADE20K_2021_17_01"])
def test_the_release_as_it_is_published(tmp_path: Path, parent: str) -> None:
    ids = trees.ade20k_full(tmp_path / parent)
    assert ade20k_full.splits(tmp_path) == ("train", "val")
    dataset = ade20k_full.read(tmp_path, split="val")
    assert (dataset.name, dataset.vocabulary) == ("ade20k_847", builtin("ade20k_847"))
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["ADE_val_01"]
    sample = dataset[0]
    assert sample.semantic is not None
    assert sample.semantic[0, :3].tolist() == [IGNORE, IGNORE, IGNORE]
    np.testing.assert_array_equal(sample.semantic, slow_classes(ids))
    assert (sample.semantic >= 0).sum() == ids.size - 3


def test_known_objects() -> None:
    """Wall is object 2978 and class 0, sky is object 2420 and class 2."""
    channels = np.array([[[110, 162, 0], [93, 116, 9]]], np.uint8)
    assert object_ids(channels).tolist() == [[2978, 2420]]
    ids = category_ids("ade20k_847")
    names = builtin("ade20k_847").names
    assert [names[ids.index(i)] for i in (2978, 2420)] == ["wall", "sky"]


def test_large_images_are_shrunk_to_512(tmp_path: Path) -> None:
    ids = trees.ade20k_full(tmp_path, size=(520, 780))
    sample = ade20k_full.read(tmp_path, split="val")[0]
    assert isinstance(sample.image, np.ndarray)
    assert sample.image.shape == (512, 768, 3)
    assert sample.semantic is not None
    rows = [i * 520 // 512 for i in range(512)]
    columns = [j * 780 // 768 for j in range(768)]
    np.testing.assert_array_equal(sample.semantic, slow_classes(ids[np.ix_(rows, columns)]))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 683), (512, 683)),
        ((300, 2000), (300, 2000)),
        ((1944, 2592), (512, 683)),
        ((2592, 1944), (683, 512)),
        ((600, 600), (512, 512)),
    ],
)
def test_size_of_the_benchmark(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert benchmark_size(size) == expected


def test_shrinking_is_bilinear_without_antialiasing() -> None:
    """Each pixel is the mean of the two by two around its centre, however far it shrinks."""
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    small = shrunk(image, (2, 3))
    at = np.ix_([1, 5], [1, 5, 9])
    around = [
        np.roll(image, (-i, -j), axis=(0, 1))[at].astype(float) for i in (0, 1) for j in (0, 1)
    ]
    np.testing.assert_array_equal(small, np.round(np.mean(around, axis=0)))
    assert shrunk(image, (8, 12)) is image


@pytest.mark.parametrize("parent", ["", "ADE20K_2021_17_01"])
def test_prepared_maps_have_16_bits(tmp_path: Path, parent: str) -> None:
    raw = trees.ade20k_full_prepared(tmp_path / parent)
    assert ade20k_full.splits(tmp_path) == ("val",)
    dataset = ade20k_full.read(tmp_path)
    assert (dataset.name, len(dataset.vocabulary)) == ("ade20k_847", 847)
    semantic = dataset[0].semantic
    assert semantic is not None
    assert semantic[0, :2].tolist() == [IGNORE, 255]
    assert semantic.max() == 846
    assert (semantic == np.where(raw == 65535, IGNORE, raw)).all()


def test_prepared_maps_come_first(tmp_path: Path) -> None:
    trees.ade20k_full(tmp_path)
    trees.ade20k_full_prepared(tmp_path)
    assert ade20k_full.read(tmp_path).sample_id(0) == "ADE_val_00000001"


def test_both_releases_in_one_folder(tmp_path: Path) -> None:
    trees.ade20k(tmp_path / "ADEChallengeData2016")
    trees.ade20k_full(tmp_path / "ADE20K_2021_17_01")
    with pytest.raises(DataError, match="can be read as ade20k or as ade20k_full"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, layout="ade20k_full", split="val").vocabulary) == 847


def test_a_map_of_another_size(tmp_path: Path) -> None:
    trees.ade20k_full(tmp_path)
    scene = tmp_path / "images" / "ADE" / "validation" / "home" / "attic"
    trees.save_image(scene / "ADE_val_01.jpg", size=(9, 9))
    with pytest.raises(DataError, match="labels must have the size of the image"):
        ade20k_full.read(tmp_path, split="val")[0]
