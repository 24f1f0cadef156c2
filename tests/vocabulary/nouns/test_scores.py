"""Every backend that needs no download, on thirty captions that were labelled by hand."""

from pathlib import Path

import pytest

from segtune.errors import DataError, SegtuneError
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.nouns.lexicon import Lexicon
from segtune.vocabulary.nouns.registry import make_extractor
from segtune.vocabulary.nouns.rules import RuleNouns
from segtune.vocabulary.nouns.scores import LabelledCaption, read_labelled, score_nouns

LABELLED = read_labelled(Path(__file__).with_name("captions.jsonl"))


def test_the_labelled_captions_are_thirty_and_say_their_nouns():
    assert len({item.caption for item in LABELLED}) == 30
    lexicon = Lexicon(Vocabulary.of(*sorted({n for item in LABELLED for n in item.nouns})))
    for item in LABELLED:
        assert {noun.lemma for noun in lexicon([item.caption])[0]} >= set(item.nouns)


def test_the_lexicon_finds_all_it_knows():
    known = Vocabulary.of(*sorted({noun for item in LABELLED for noun in item.nouns}))
    scores = score_nouns(Lexicon(known), LABELLED)
    assert scores.recall == 1.0
    assert scores.precision > 0.95


def test_the_lexicon_of_a_benchmark_is_precise_by_head_and_knows_little():
    scores = score_nouns(Lexicon(builtin("coco_stuff_171")), LABELLED)
    assert scores.head_precision > 0.8
    assert 0.2 < scores.recall < 0.6


def test_rules():
    scores = score_nouns(RuleNouns(), LABELLED)
    assert scores.precision > 0.9
    assert scores.recall > 0.9
    assert score_nouns(RuleNouns(compounds=False), LABELLED).head_recall > 0.95


@pytest.mark.parametrize(("name", "floor"), [("nltk", 0.75), ("spacy", 0.8)])
def test_taggers_where_they_are_installed(name, floor):
    try:
        extractor = make_extractor(name)
    except SegtuneError as absent:
        pytest.skip(str(absent))
    scores = score_nouns(extractor, LABELLED)
    assert scores.head_precision > floor
    assert scores.head_recall > floor


def test_shares_by_hand():
    class Fixed:
        def __call__(self, captions):
            return RuleNouns()(["a dog with a ball", "the sky"])

    labelled = [LabelledCaption("1", ("dog", "tennis ball")), LabelledCaption("2", ("cloud",))]
    scores = score_nouns(Fixed(), labelled)
    assert (scores.found, scores.labelled) == (3, 3)
    assert (scores.precision, scores.recall) == (1 / 3, 1 / 3)
    assert (scores.head_precision, scores.head_recall) == (2 / 3, 2 / 3)
    assert scores.f1 == pytest.approx(1 / 3)


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"caption": "a dog"}')
    with pytest.raises(DataError, match="line 1 is no labelled caption"):
        read_labelled(path)
