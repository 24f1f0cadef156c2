import json

import pytest

from segtune.errors import DataError, SegtuneError
from segtune.vocabulary.nouns.given import FunctionNouns, StoredNouns


def write(path, *entries):
    path.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
    return str(path)


def test_stored_nouns_are_found_by_caption(tmp_path):
    file = write(
        tmp_path / "nouns.jsonl",
        {"caption": "Two oxen.", "nouns": [{"text": "oxen", "lemma": "ox", "score": 0.5}]},
        {"caption": "A dog.", "nouns": ["dog"]},
    )
    dog, ox = StoredNouns(file=file)(["A dog.", "Two oxen."])
    assert (dog[0].lemma, dog[0].span) == ("dog", (2, 5))
    assert (ox[0].lemma, ox[0].span, ox[0].score) == ("ox", (4, 8), 0.5)


def test_a_caption_without_a_line_is_an_error(tmp_path):
    file = write(tmp_path / "nouns.jsonl", {"caption": "A dog.", "nouns": []})
    with pytest.raises(DataError, match=r"no line for 1 captions, the first is 'A cat\.'"):
        StoredNouns(file=file)(["A dog.", "A cat."])


@pytest.mark.parametrize("line", ["[]", "{}", '{"caption": 3}', "no json", '{"caption": "a"}'])
def test_bad_lines_are_named(tmp_path, line):
    path = tmp_path / "nouns.jsonl"
    path.write_text('{"caption": "x", "nouns": []}\n' + line)
    with pytest.raises(DataError, match=r"nouns\.jsonl line 2 is not of the form"):
        StoredNouns(file=str(path))


def test_a_function_must_answer_every_caption():
    with pytest.raises(SegtuneError, match="gave 1 lists for 2 captions"):
        FunctionNouns(lambda captions: [["dog"]])(["a dog", "a cat"])
