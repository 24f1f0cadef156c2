from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.types import TemplateSet
from segtune.vocabulary.templates import read_templates, template_names

SIZES = {"vild_14": 14, "imagenet_80": 80, "vild_63": 63, "rpn_15": 15, "name": 1, "single": 1}


@pytest.mark.parametrize("name", template_names())
def test_every_set(name: str) -> None:
    templates = read_templates(name)
    assert templates.name == name
    assert len(templates.sentences) == SIZES.get(name, len(templates.sentences))
    for sentence in templates.fill("umbrella"):
        assert "umbrella" in sentence
        assert "{" not in sentence


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("name", "dog"),
        ("single", "a photo of a dog."),
        ("rpn_voc", "a photo of a dog"),
        ("rpn_15", "a photo of a dog."),
    ],
)
def test_known_sentences(name: str, first: str) -> None:
    assert read_templates(name).fill("dog")[0] == first


def test_article_fits_the_name() -> None:
    templates = read_templates("vild_63")
    assert templates.fill("umbrella")[0] == "There is an umbrella in the scene."
    assert templates.fill("dog")[0] == "There is a dog in the scene."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.txt", "a {}.\n\nthe {}.\n"),
        ("mine.json", '["a {}.", "the {}."]'),
        ("mine.yaml", "- a {}.\n- the {}.\n"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    templates = read_templates(str(tmp_path / name))
    assert templates == TemplateSet("mine", ("a {}.", "the {}."))


def test_sentences() -> None:
    assert read_templates("a sketch of a {}").fill("dog") == ("a sketch of a dog",)
    assert read_templates(["a {}", "the {}"]).fill("dog") == ("a dog", "the dog")
    own = TemplateSet("own", ("{}",))
    assert read_templates(own) is own


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vild", "not a built-in template set; did you mean vild_"),
        ("{} and {}", "must contain {} exactly once"),
        ([], "is empty"),
        (["a photo"], "must contain {} exactly once"),
    ],
)
def test_bad_specs(spec: str | list[str], message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        read_templates(spec)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"template file .* does not exist"):
        read_templates(tmp_path / "no.txt")
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(SegtuneError, match="must hold a list of sentences"):
        read_templates(tmp_path / "a.json")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SegtuneError, match="'a' is empty"):
        read_templates(tmp_path / "a.txt")
