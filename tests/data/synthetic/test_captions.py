import numpy as np
import pytest

from segtune.data.synthetic.attributes import (
    STUFF,
    Composition,
    compositions,
    stuff_concepts,
    thing_concept,
)
from segtune.data.synthetic.captions import (
    CLEAN,
    CaptionStyle,
    caption_crop,
    caption_scene,
    caption_stuff,
    counted,
    join,
    plural,
)

THINGS = [thing_concept(composition) for composition in compositions()]
SURFACES = list(stuff_concepts())


@pytest.mark.parametrize(
    ("noun", "count", "phrase"),
    [
        ("striped red star", 1, "a striped red star"),
        ("inductor", 1, "an inductor"),
        ("plain blue cross", 2, "two plain blue crosses"),
        ("relay", 12, "many relays"),
    ],
)
def test_counted(noun, count, phrase):
    assert counted(noun, count) == phrase


@pytest.mark.parametrize(
    ("phrases", "text"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b and c")]
)
def test_join(phrases, text):
    assert join(phrases) == text


def _mentioned(text, concepts):
    """Names of the concepts whose name or synonym, singular or plural, is in the text."""
    words = f" {text.replace(',', ' ')} ".replace("  ", " ")
    return {
        concept.name
        for concept in concepts
        if any(f" {form} " in words for name in concept.names for form in (name, plural(name)))
    }


def test_clean_captions_mention_exactly_what_is_there():
    rng = np.random.default_rng(0)
    for _ in range(200):
        things = [THINGS[i] for i in rng.integers(len(THINGS), size=rng.integers(1, 7))]
        things += things[:1]
        stuff = [SURFACES[i] for i in rng.permutation(len(SURFACES))[: rng.integers(1, 4)]]
        caption = caption_scene(things, stuff, rng, style=CLEAN)
        names = {concept.name for concept in things + stuff}
        assert _mentioned(caption.text, THINGS + SURFACES) == set(caption.mentions) == names


@pytest.mark.parametrize(("missing", "wrong"), [(0.3, 0.0), (0.0, 0.4), (0.25, 0.25)])
def test_noisy_captions_are_wrong_at_the_stated_rates(missing, wrong):
    rng = np.random.default_rng(1)
    style = CaptionStyle(missing_rate=missing, wrong_rate=wrong)
    true, dropped, false = 0, 0, 0
    for _ in range(400):
        things = [THINGS[i] for i in rng.permutation(len(THINGS))[:4]]
        stuff = [SURFACES[i] for i in rng.permutation(len(SURFACES))[:2]]
        caption = caption_scene(
            things, stuff, rng, style=style, thing_candidates=THINGS, stuff_candidates=SURFACES
        )
        names, mentions = {c.name for c in things + stuff}, set(caption.mentions)
        true += len(names)
        dropped += len(names - mentions)
        false += len(mentions - names)
    assert abs(dropped / true - missing) < 0.04
    assert abs(false / true - wrong) < 0.04


def test_nothing_to_say_still_gives_a_sentence():
    assert caption_scene([], [], np.random.default_rng(0)).text == "a picture"


def test_rates_are_checked():
    with pytest.raises(ValueError, match="missing_rate"):
        CaptionStyle(missing_rate=1.5)


def test_crop_captions_name_the_thing_and_vary():
    rng, arrow = np.random.default_rng(0), Composition.parse("dotted green arrow")
    texts = [caption_crop(arrow, "sand", rng) for _ in range(60)]
    assert all(_mentioned(text, THINGS) == {arrow.name} for text in texts)
    assert len(set(texts)) >= 6
    assert not any("{" in text for text in texts)
    assert {bool(_mentioned(text, SURFACES)) for text in texts} == {True, False}


def test_crop_caption_without_stuff_names_none():
    rng = np.random.default_rng(0)
    texts = [caption_crop(compositions()[0], None, rng) for _ in range(20)]
    assert not any(_mentioned(text, SURFACES) for text in texts)


@pytest.mark.parametrize("stuff", STUFF)
def test_stuff_captions(stuff):
    assert _mentioned(caption_stuff(stuff, np.random.default_rng(0)), SURFACES) == {stuff}
