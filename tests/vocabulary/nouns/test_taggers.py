"""What the NLTK and spaCy backends make of tags, on stand-ins with the interface of the packages.

The real packages, where they and their data are installed, are measured in test_scores.py.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from segtune.errors import SegtuneError
from segtune.vocabulary.nouns.registry import make_extractor

TAGS = {"two": "CD", "dogs": "NNS", "chase": "VBP", "tennis": "NN", "balls": "NNS", "man": "NN"}
TAGS |= {"London": "NNP", "'s": "POS", ".": ".", "old": "JJ", "a": "DT", "%": "NN"}


@pytest.fixture
def nltk(monkeypatch):
    """A package whose tagger knows the words above, and whose tokenizer cuts off "'s"."""
    package, tokenize = ModuleType("nltk"), ModuleType("nltk.tokenize")

    class Tokenizer:
        def tokenize(self, text):
            return re.findall(r"'s|\w+|[^\w\s]", text.replace('"', "``"))

    package.pos_tag = lambda tokens: [(token, TAGS.get(token, "NN")) for token in tokens]
    package.pos_tag_sents = lambda sentences: [package.pos_tag(tokens) for tokens in sentences]
    tokenize.NLTKWordTokenizer = Tokenizer
    monkeypatch.setitem(sys.modules, "nltk", package)
    monkeypatch.setitem(sys.modules, "nltk.tokenize", tokenize)
    return package


def test_nltk_gives_single_nouns_with_their_places(nltk):
    caption = "two old dogs chase a man's tennis balls."
    nouns = make_extractor("nltk")([caption])[0]
    assert [noun.lemma for noun in nouns] == ["dog", "man", "tennis", "ball"]
    assert all(caption[slice(*noun.span)].lower() == noun.text for noun in nouns)


def test_nltk_joins_neighbours_where_asked(nltk):
    joined = make_extractor("nltk", options={"compounds": True})
    nouns = joined(["two dogs chase tennis balls", "a man % London"])
    assert [[noun.lemma for noun in each] for each in nouns] == [
        ["dog", "tennis ball"],
        ["man", "london"],
    ]


def test_nltk_rewritten_quotes_are_no_nouns(nltk):
    assert [noun.lemma for noun in make_extractor("nltk")(['a "man"'])[0]] == ["man"]


def test_nltk_without_its_data_says_what_to_type(nltk):
    def missing(tokens):
        raise LookupError("Resource not found")

    nltk.pos_tag = missing
    with pytest.raises(SegtuneError, match=r"nltk\.downloader averaged_perceptron_tagger_eng"):
        make_extractor("nltk")


@dataclass
class Token:
    i: int
    idx: int
    text: str
    pos_: str
    lemma_: str


@dataclass
class Span:
    tokens: list[Token]

    @property
    def start(self):
        return self.tokens[0].i

    @property
    def start_char(self):
        return self.tokens[0].idx

    @property
    def end_char(self):
        return self.tokens[-1].idx + len(self.tokens[-1].text)

    @property
    def text(self):
        return " ".join(token.text for token in self.tokens)

    @property
    def root(self):
        return self.tokens[-1]

    def __getitem__(self, key):
        return self.tokens[key]


@dataclass
class Document:
    tokens: list[Token]
    noun_chunks: list[Span] = field(default_factory=list)

    def __getitem__(self, key):
        return Span(self.tokens[key]) if isinstance(key, slice) else self.tokens[key]


def parsed(text):
    """The caption "a young baseball player and they near two Oxen" as spaCy would parse it."""
    kinds = ["DET", "ADJ", "NOUN", "NOUN", "CCONJ", "PRON", "ADP", "NUM", "NOUN"]
    lemmas = ["a", "young", "baseball", "player", "and", "they", "near", "two", "ox"]
    tokens, place = [], 0
    for i, (word, kind, lemma) in enumerate(zip(text.split(), kinds, lemmas, strict=True)):
        tokens.append(Token(i, place, word, kind, lemma))
        place += len(word) + 1
    return Document(tokens, [Span(tokens[0:4]), Span(tokens[5:6]), Span(tokens[7:9])])


@pytest.fixture
def spacy(monkeypatch):
    def load(name):
        if name != "en_core_web_sm":
            raise OSError(f"[E050] Can't find model {name!r}")
        return SimpleNamespace(pipe=lambda texts: map(parsed, texts))

    package = ModuleType("spacy")
    package.load = load
    monkeypatch.setitem(sys.modules, "spacy", package)


CAPTION = "a young baseball player and they near two Oxen"


def test_spacy_gives_the_compound_at_the_end_of_a_chunk(spacy):
    nouns = make_extractor("spacy")([CAPTION])[0]
    assert [(noun.text, noun.lemma) for noun in nouns] == [
        ("baseball player", "baseball player"),
        ("oxen", "ox"),
    ]
    assert all(CAPTION[slice(*noun.span)].lower() == noun.text for noun in nouns)


def test_spacy_keeps_adjectives_where_asked(spacy):
    nouns = make_extractor("spacy", options={"adjectives": True})([CAPTION])[0]
    assert [noun.lemma for noun in nouns] == ["young baseball player", "ox"]


def test_spacy_without_the_pipeline_says_what_to_type(spacy):
    with pytest.raises(SegtuneError, match="python -m spacy download en_core_web_lg"):
        make_extractor("spacy", options={"pipeline": "en_core_web_lg"})
