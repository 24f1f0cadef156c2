import json
from pathlib import Path

import pytest

from segtune.data.captioned import NO_CLASSES
from segtune.data.formats import captions, dataset_splits, open_dataset
from segtune.errors import DataError
from tests.data import trees


def test_read(tmp_path: Path) -> None:
    trees.captions(tmp_path)
    dataset = open_dataset(tmp_path)
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["a", "b"]
    sample = dataset[0]
    assert sample.captions == ("A dog.", "Two dogs.")
    assert sample.pixels().shape == (*trees.SIZE, 3)
    assert (sample.semantic, sample.instances) == (None, ())
    assert dataset[1].captions == ("A cat.",)
    assert (dataset.split, dataset.vocabulary) == ("all", NO_CLASSES)


def test_a_file_is_surer_than_a_folder(tmp_path: Path) -> None:
    file = trees.captions(tmp_path)
    assert (captions.detect(file), captions.detect(tmp_path)) == (1.0, 0.4)
    trees.index_png(tmp_path)
    assert open_dataset(tmp_path).vocabulary.names[0] == "class 0"


def test_split_files(tmp_path: Path) -> None:
    file = trees.captions(tmp_path)
    file.rename(tmp_path / "captions_val.jsonl")
    assert dataset_splits(tmp_path) == ("val",)
    assert open_dataset(tmp_path).split == "val"


def test_words_and_folder_of_the_images(tmp_path: Path) -> None:
    file = trees.captions(tmp_path).rename(tmp_path / "photos" / "said.jsonl")
    with pytest.raises(DataError, match=r"which is not in .*\?images=FOLDER"):
        open_dataset(file)
    dataset = open_dataset(f"{file}?images={tmp_path}", vocabulary="dog, cat, cow")
    assert len(dataset) == 2
    assert dataset.vocabulary.names == ("dog", "cat", "cow")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 2 is not valid JSON: .*; expected {"),
        ("[]", "line 2 is a list; expected an object"),
        (json.dumps({"image": "x.jpg"}), "line 2 has no 'captions'; expected {"),
        (json.dumps({"captions": []}), "line 2 has no 'image'; expected {"),
        (
            json.dumps({"image": 3, "captions": []}),
            "line 2: image is a whole number; expected text",
        ),
        (json.dumps({"image": "x.jpg", "captions": "A dog."}), "captions is text; expected a list"),
        (json.dumps({"image": "x.jpg", "captions": [3]}), r"captions\[0\] is a whole number; exp"),
    ],
)
def test_bad_lines(line: str, message: str, tmp_path: Path) -> None:
    file = trees.captions(tmp_path)
    first = file.read_text(encoding="utf-8").splitlines()[0]
    file.write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        open_dataset(file)
