import time
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
        ("a.json", "[", "not valid JSON: .* in line 1; copy the file again"),
        ("a.yaml", "a: [\nb: }", "not valid YAML in line 2: .*; correct that line"),
        ("a.json", "3", "holds int; expected a list"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SegtuneError, match=message):
        parse_vocabulary(tmp_path / name)


NAMES_OF_YAML = ("helmet", "no", "on", "y", "1", "007", "1e3", "12:30", "2024-01-01", "true")


@pytest.mark.parametrize("form", ["{0: %s}", "- %s", "classes:\n- %s", "classes:\n- name: %s"])
def test_words_that_yaml_takes_for_others_are_names(tmp_path: Path, form: str) -> None:
    for name in NAMES_OF_YAML:
        (tmp_path / "a.yaml").write_text(form % name + "\n")
        assert parse_vocabulary(tmp_path / "a.yaml").names == (name,)
    (tmp_path / "a.yaml").write_text(form % "null" + "\n")
    with pytest.raises(SegtuneError, match="put it in quotes"):
        parse_vocabulary(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text(form % "'null'" + "\n")
    assert parse_vocabulary(tmp_path / "a.yaml").names == ("null",)


def test_other_values_of_yaml_keep_their_meaning(tmp_path: Path) -> None:
    text = "- {name: sky, isthing: 0, color: [1, 2, 3], synonyms: null}\n- {name: car}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert parse_vocabulary(tmp_path / "a.yaml").concepts == (
        Concept("sky", kind="stuff", color=(1, 2, 3)),
        Concept("car"),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [("road\n\nsky\ntree\n", 2), ("\nroad\nsky\n", 1), ("road\nsky\n\n \ntree", 3)],
)
def test_an_empty_line_would_shift_label_values(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "classes.txt"
    file.write_text(text)
    with pytest.raises(SegtuneError, match=rf"line {line} is empty, .* the value {line - 1}"):
        parse_vocabulary(file, in_label_order=True)
    assert parse_vocabulary(file).names[0] == "road"


@pytest.mark.parametrize("text", ["road\nsky\n\n\n", "# of the street\n\nroad\n\nsky", "road\nsky"])
def test_other_empty_lines_do_no_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    found = parse_vocabulary(tmp_path / "classes.txt", in_label_order=True)
    assert found.names == ("road", "sky")


@pytest.mark.parametrize("line", ["a; b", "a\uff0cb", "a\u060c b"])
def test_one_class_per_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text(f"road\n{line}\n", encoding="utf-8")
    with pytest.raises(SegtuneError, match="has a comma or semicolon; write one class per line"):
        parse_vocabulary(tmp_path / "a.txt")


def test_many_names_are_read_at_once(tmp_path: Path) -> None:
    names = [f"thing number {i}" for i in range(100_000)]
    (tmp_path / "a.txt").write_text("\n".join(names))
    began = time.process_time()
    for spec in (names, ", ".join(names), tmp_path / "a.txt"):
        vocabulary = parse_vocabulary(spec)
        assert vocabulary.index("thing number 99999") == 99_999
    assert time.process_time() - began < 6  # seconds for all three; a quadratic check takes hours
    with pytest.raises(SegtuneError, match=r"names 'thing number 0', .*, \.\.\. more than once"):
        parse_vocabulary([*names, *names])


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
