import importlib.util
import os
import subprocess
import sys

import pytest

from segtune.errors import SegtuneError
from segtune.types import Vocabulary
from segtune.vocabulary.nouns.registry import NOUN_BACKENDS, make_extractor


def test_lexicon_is_the_default_and_needs_words():
    nouns = make_extractor(vocabulary=Vocabulary.of("dog"))(["two dogs"])
    assert nouns[0][0].lemma == "dog"
    with pytest.raises(SegtuneError, match="lexicon needs words"):
        make_extractor()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rule", {}, "'rule' is not a noun backend; did you mean rules"),
        ("rules", {"speed": 3}, "rules has no option speed; options are compounds"),
        ("lexicon", {"file": "x"}, "lexicon has no option file; options are none"),
        ("jsonl", {}, "jsonl needs file; add file=VALUE"),
        ("llm", {}, "llm needs model; add model=VALUE"),
    ],
)
def test_mistakes_give_one_line(name, options, message):
    with pytest.raises(SegtuneError, match=message):
        make_extractor(name, vocabulary=Vocabulary.of("dog"), options=options)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("nltk", "nltk", "text"), ("spacy", "spacy", "text"), ("llm", "openai", "llm")],
)
def test_an_absent_package_is_named_with_its_extra(name, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    options = {"model": "m"} if name == "llm" else {}
    with pytest.raises(SegtuneError, match=rf"pip install 'segtune\[{extra}\]'"):
        make_extractor(name, options=options)


def test_no_backend_is_imported_before_it_is_asked_for():
    script = (
        "import sys; import segtune.vocabulary.nouns.registry; "
        "print([m for m in ('nltk', 'spacy', 'openai', 'torch') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "[]\n", done.stderr
    assert all(
        importlib.util.find_spec(f"segtune.vocabulary.nouns.{module}")
        for module, _ in NOUN_BACKENDS.values()
    )
