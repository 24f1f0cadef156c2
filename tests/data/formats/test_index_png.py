import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.checks.left_out import left_out_of
from segtune.data.formats import index_png, open_dataset
from segtune.data.images import read_label_map
from segtune.data.samples import as_segmentation
from segtune.errors import DataError
from segtune.types import IGNORE, Concept, Sample, Segmentation, Vocabulary
from tests.data import trees

THREE = Vocabulary.of("sky", "road", "car")


def test_read_undivided(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    dataset = index_png.read(tmp_path)
    assert (dataset.split, dataset.name) == ("all", tmp_path.name)
    assert dataset.vocabulary.names == ("class 0", "class 1", "class 2")
    assert [dataset.sample_id(i) for i in range(2)] == ["a", "b"]
    semantic = dataset[0].semantic
    assert semantic is not None
    assert semantic[0, 0] == IGNORE
    assert set(semantic.ravel().tolist()) == {IGNORE, 0, 1, 2}
    with pytest.raises(DataError, match="leave --split val out"):
        index_png.read(tmp_path, split="val")


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("imgs", "masks")])
def test_read_divided(tmp_path: Path, pattern: str, images: str, labels: str) -> None:
    for split in ("train", "val"):
        folder = tmp_path / pattern.format(kind=images, split=split)
        trees.save_image(folder / f"{split}_1.jpg")
        folder = tmp_path / pattern.format(kind=labels, split=split)
        trees.save_map(folder / f"{split}_1.png", trees.noise(0, 3))
    assert index_png.splits(tmp_path) == ("train", "val")
    dataset = open_dataset(tmp_path, split="val", vocabulary=THREE)
    assert dataset.sample_id(0) == "val_1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "sky\nroad\ncar\n"),
        ("vocabulary.json", '{"classes": ["sky", "road", "car"]}'),
        ("classes.yaml", "names:\n  0: sky\n  1: road\n  2: car\n"),
    ],
)
def test_names_beside_the_folders(tmp_path: Path, name: str, text: str) -> None:
    trees.index_png(tmp_path)
    (tmp_path / "classes.txt").unlink()
    (tmp_path / name).write_text(text)
    assert index_png.read(tmp_path).vocabulary.names == THREE.names


def test_names_are_needed(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match="does not say what its label values mean; pass --vocab"):
        index_png.read(tmp_path)


def test_a_value_beyond_the_names(tmp_path: Path) -> None:
    trees.index_png(tmp_path, classes=3)
    dataset = index_png.read(tmp_path, vocabulary=Vocabulary.of("sky", "road"))
    with pytest.raises(DataError, match=r"a\.png has the value 2, which is no class: 2 classes"):
        dataset[0]


def test_a_label_of_another_size(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    trees.save_image(tmp_path / "images" / "a.jpg", size=(12, 16))
    with pytest.raises(DataError, match=r"a\.png is 8x6 but its image a\.jpg is 16x12"):
        index_png.read(tmp_path)[0]


def test_no_label_of_the_same_name(tmp_path: Path) -> None:
    trees.index_png(tmp_path, names=("a",))
    shutil.move(tmp_path / "labels" / "a.png", tmp_path / "labels" / "a_mask.png")
    with pytest.raises(DataError, match=r"none of the 1 images has a label map of the same name"):
        index_png.read(tmp_path)


def binary(root: Path, *values: np.ndarray, classes: str = "ground\ncar\n") -> Path:
    """A folder with maps of given values, and class names where there are some."""
    for number, map_ in enumerate(values):
        trees.save_image(root / "images" / f"{number}.jpg")
        trees.save_map(root / "labels" / f"{number}.png", map_)
    if classes:
        (root / "classes.txt").write_text(classes)
    return root


BINARY = trees.noise(0, 2) * 255


def test_maps_of_0_and_255_are_asked_about(tmp_path: Path) -> None:
    folder = binary(tmp_path, BINARY, BINARY * 0)
    with pytest.raises(DataError) as caught:
        open_dataset(folder)
    for part in (
        "hold only 0 and 255",
        "'car' has no pixel",
        "is 255 the foreground?",
        "--label-values '0=ground,255=car'",
        "--ignore-value none",
        "--ignore-value 255",
    ):
        assert part in str(caught.value)
    for options in ({"label_values": "0=ground,255=car"}, {"ignore_value": "none"}):
        dataset = open_dataset(folder, options=options)
        assert (dataset[0].semantic == BINARY // 255).all()
        assert dataset.vocabulary.names == ("ground", "car")
    unlabelled = open_dataset(folder, options={"ignore_value": "255"})[0].semantic
    assert (unlabelled == np.where(BINARY, IGNORE, 0)).all()


def test_other_maps_are_not_asked_about(tmp_path: Path) -> None:
    with_1 = BINARY.copy()
    with_1[0, 0] = 1
    assert len(open_dataset(binary(tmp_path / "a", BINARY, BINARY, with_1))) == 3
    assert len(open_dataset(binary(tmp_path / "b", BINARY * 0))) == 1
    assert len(open_dataset(binary(tmp_path / "c", BINARY // 255))) == 1
    many = "\n".join(f"class {i}" for i in range(256))
    assert open_dataset(binary(tmp_path / "d", BINARY, classes=many))[0].semantic.max() == 255


@pytest.mark.parametrize("classes", ["car\n", "ground\ncar\nsky\n"])
def test_one_class_and_three_are_asked_about_too(tmp_path: Path, classes: str) -> None:
    with pytest.raises(DataError, match="is 255 the foreground"):
        open_dataset(binary(tmp_path, BINARY, classes=classes))


def test_values_name_the_classes_where_nothing_else_does(tmp_path: Path) -> None:
    folder = binary(tmp_path, BINARY, classes="")
    dataset = open_dataset(folder, options={"label_values": "255=car, 0=ground"})
    assert dataset.vocabulary.names == ("car", "ground")
    assert (dataset[0].semantic == 1 - BINARY // 255).all()


def test_jpeg_label_maps_need_values_far_apart(tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.uint8)
    values[8:24, 4:20] = 255
    trees.save_image(tmp_path / "images" / "a.jpg", size=(32, 32))
    (tmp_path / "masks").mkdir()
    Image.fromarray(values).save(tmp_path / "masks" / "a.jpg", quality=60)
    (tmp_path / "classes.txt").write_text("ground\ncar\n")
    with pytest.raises(DataError, match=r"masks are JPEG files, whose .* save them as \.png"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, options={"label_values": "0=ground,255=car"})
    assert (dataset[0].semantic == values // 255).all()
    close = open_dataset(tmp_path, options={"label_values": "0=ground,3=car"})
    with pytest.raises(DataError, match="would have to be 48 apart"):
        close[0]


def test_damaged_label_maps_can_be_left_out(tmp_path: Path) -> None:
    trees.index_png(tmp_path, names=("a", "b", "c"))
    (tmp_path / "labels" / "b.png").write_bytes(b"no")
    (tmp_path / "images" / "c.jpg").write_bytes((tmp_path / "images" / "c.jpg").read_bytes()[:300])
    with pytest.raises(DataError, match=r"b\.png"):
        open_dataset(tmp_path)[1]
    dataset = open_dataset(tmp_path, skip_bad=True)
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["a"]
    assert [each.why for each in left_out_of(dataset)] == ["damaged", "damaged"]
    (tmp_path / "labels" / "a.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"no sample of .* can be read: label map .*a\.png"):
        open_dataset(tmp_path, skip_bad=True)


@pytest.mark.parametrize("num_classes", [3, 255, 256, 847])
def test_write_and_read_again(tmp_path: Path, num_classes: int) -> None:
    concepts = tuple(Concept(f"class {i}", color=(i % 256, 0, 0)) for i in range(num_classes))
    vocabulary = Vocabulary(concepts, negatives=("shadow",), name="many")
    labels = trees.noise(max(0, num_classes - 47), num_classes)
    labels[0, 0] = IGNORE
    files = index_png.write(
        tmp_path, [("a", Segmentation(trees.SIZE, vocabulary, labels))], vocabulary=vocabulary
    )
    assert [file.name for file in files] == ["a.png", "vocabulary.json"]
    trees.save_image(tmp_path / "images" / "a.jpg")
    dataset = index_png.read(tmp_path)
    assert dataset.vocabulary == vocabulary
    semantic = dataset[0].semantic
    assert semantic is not None
    assert (semantic == labels).all()


def test_write_takes_any_dataset(tmp_path: Path) -> None:
    trees.camvid(tmp_path / "in")
    source = open_dataset(tmp_path / "in")
    results = (
        (source.sample_id(i), as_segmentation(source[i], source.vocabulary))
        for i in range(len(source))
    )
    index_png.write(tmp_path / "out", results, vocabulary=source.vocabulary)
    raw = read_label_map(tmp_path / "out" / "labels" / "0001TP_006690.png")
    assert (np.where(raw == 255, IGNORE, raw) == source[0].semantic).all()


def test_write_needs_a_semantic_map(tmp_path: Path) -> None:
    result = as_segmentation(Sample("a", np.zeros((2, 2, 3), np.uint8)), THREE)
    with pytest.raises(DataError, match="'a' has no semantic map"):
        index_png.write(tmp_path, [("a", result)], vocabulary=THREE)
