from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.types import TemplateSet
from segtune.vocabulary.templates import ALSO_CALLED, read_templates, template_names

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


SIZED = ("small", "medium", "large")


def test_the_set_of_ovseg_has_its_punctuation() -> None:
    """Only the bare sentence and those with a size end with a full stop."""
    assert read_templates("vild").sentences == (
        "a photo of a {}.",
        "This is a photo of a {}",
        "There is a {} in the scene",
        "There is the {} in the scene",
        "a photo of a {} in the scene",
        *(f"a photo of a {size} {{}}." for size in SIZED),
        *(f"This is a photo of a {size} {{}}." for size in SIZED),
        *(f"There is a {size} {{}} in the scene." for size in SIZED),
    )


def test_the_single_sentences_differ() -> None:
    assert read_templates("ovseg_single").sentences == ("a photo of a {}.",)
    assert read_templates("simbaseline_single").sentences == ("a sculpture of a {}.",)
    assert read_templates("zegformer").sentences == ("A photo of a {} in the scene",)


def test_the_eight_sentences_of_zegformer() -> None:
    assert read_templates("zegformer_8").sentences == (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
        "A photo of a {} in the scene",
    )


def test_the_thirty_two_sentences_of_zegformers_clip_branch() -> None:
    """The stems end with a full stop only without "in the scene"; nothing else does."""
    stems = ("a bad photo of the", "a photo of the large", "a photo of the small")
    stems += ("a cropped photo of a",)
    sizes = ("", "small ", "medium ", "large ")
    starts = ("There is a", "There is the", "This is a", "This is the", "This is one")
    expected = {
        *(f"{stem} {{}}." for stem in stems),
        *(f"{stem} {{}} in the scene" for stem in stems),
        *(f"This is a {h}photo of a {s}{{}}" for h in ("", "masked ", "cropped ") for s in sizes),
        "A photo of a {} in the scene",
        "a photo of a masked {} in the scene",
        *(f"{start} {mask}{{}} in the scene" for start in starts for mask in ("", "masked ")),
    }
    sentences = read_templates("zegformer_32").sentences
    assert (len(sentences), len(expected)) == (32, 32)
    assert set(sentences) == expected


def test_clips_eighty_sentences() -> None:
    sentences = read_templates("imagenet").sentences
    assert len(set(sentences)) == 80
    assert all(sentence.endswith(".") for sentence in sentences)
    assert {"a bad photo of a {}.", "itap of my {}.", "a tattoo of the {}."} <= set(sentences)


@pytest.mark.parametrize(("short", "name"), ALSO_CALLED.items())
def test_short_names(short: str, name: str) -> None:
    assert short not in template_names()
    assert read_templates(short) is read_templates(name)


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
        ("vild_15", "not a built-in template set; did you mean vild_"),
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
