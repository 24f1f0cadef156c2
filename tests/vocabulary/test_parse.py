from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.types import Concept, Vocabulary
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.parse import parse_vocabulary, write_vocabulary


def test_words() -> None:
    assert parse_vocabulary("road, car | auto").names == ("road", "car")
    assert parse_vocabulary("road").names == ("road",)
    assert parse_vocabulary("road\ncar").names == ("road", "car")
    assert parse_vocabulary("defect_2").names == ("defect_2",)
    assert parse_vocabulary("road", name="street").name == "street"


def test_sequences_and_vocabularies() -> None:
    assert parse_vocabulary(["road", {"name": "car"}, Concept("sky")]).names == (
        "road",
        "car",
        "sky",
    )
    vocabulary = Vocabulary.of("road")
    assert parse_vocabulary(vocabulary) is vocabulary


def test_built_in() -> None:
    assert parse_vocabulary("ade20k_150") == builtin("ade20k_150")
    assert parse_vocabulary("voc15-5").ids_in("unseen") == (15, 16, 17, 18, 19)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("street.txt", "# mine\n\nroad\n car | auto \n!shadow\n"),
        ("street.txt", "road, car | auto, !shadow\n"),
        ("street.json", '{"classes": ["road", "car | auto"], "negatives": ["shadow"]}'),
        ("street.yaml", "classes:\n- road\n- {name: car, synonyms: [auto]}\nnegatives: [shadow]\n"),
        ("street.yml", "- road\n- car | auto\n- '!shadow'\n"),
    ],
)
@pytest.mark.parametrize("as_path", [True, False])
def test_files(tmp_path: Path, name: str, text: str, as_path: bool) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8-sig")
    vocabulary = parse_vocabulary(file if as_path else str(file))
    assert vocabulary.names == ("road", "car")
    assert vocabulary.concepts[1].synonyms == ("auto",)
    assert (vocabulary.negatives, vocabulary.name) == (("shadow",), "street")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "the vocabulary is empty; give at least one word"),
        ("  ", "the vocabulary is empty"),
        ([], "the vocabulary is empty"),
        ("road,, car", "empty entry between two commas"),
        ("road, road", "names 'road' more than once"),
        ("!road", "the vocabulary is empty"),
        ("road, !road", "both a class and a negative"),
        ("ade20k_15", "not a built-in vocabulary; did you mean ade20k_150"),
    ],
)
def test_bad_words(spec: str | list, message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        parse_vocabulary(spec)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "is empty; write one class name per line"),
        ("a.txt", "road, street\ncar\n", "the line 'road, street' has a comma"),
        ("a.json", "[", "not valid JSON: .* in line 1; correct that line"),
        ("a.yaml", "a: [\nb: }", "not valid YAML in line 2; correct that line"),
        ("a.json", "3", "holds int; expected a list"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SegtuneError, match=message):
        parse_vocabulary(tmp_path / name)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vocabulary file no\.txt does not exist"):
        parse_vocabulary("no.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SegtuneError, match="is not text; save it as UTF-8"):
        parse_vocabulary(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["cityscapes_19", "ade20k_150", "context_459"])
def test_write_and_read_again(tmp_path: Path, name: str) -> None:
    write_vocabulary(tmp_path / "a.json", builtin(name))
    assert parse_vocabulary(tmp_path / "a.json") == builtin(name)
