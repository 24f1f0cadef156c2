"""Noun backends by name; none is imported, and no package needed, before it is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from segtune.errors import SegtuneError, unknown_name
from segtune.types import Vocabulary
from segtune.vocabulary.nouns.base import NounExtractor

DEFAULT_NOUNS = "lexicon"
NOUN_BACKENDS = {
    "lexicon": ("lexicon", "Lexicon"),
    "rules": ("rules", "RuleNouns"),
    "nltk": ("nltk_tags", "NltkNouns"),
    "spacy": ("spacy_chunks", "SpacyNouns"),
    "llm": ("llm", "LlmNouns"),
    "jsonl": ("given", "StoredNouns"),
}
"""Name -> module of this package and class."""


def make_extractor(
    name: str = DEFAULT_NOUNS,
    *,
    vocabulary: Vocabulary | None = None,
    options: Mapping[str, Any] | None = None,
) -> NounExtractor:
    """Returns the backend called `name`.

    Args:
        name: a key of `NOUN_BACKENDS`.
        vocabulary: the words of the lexicon; the other backends need none.
        options: keyword arguments of the backend, such as {"pipeline": "en_core_web_lg"}.

    Raises:
        SegtuneError: unknown backend or option, or something that the backend needs is missing.

    Example:
        >>> make_extractor("rules", options={"compounds": False})(["a bus stop"])[0][1].lemma
        'stop'
    """
    if name not in NOUN_BACKENDS:
        raise unknown_name(name, NOUN_BACKENDS, what="noun backend")
    module, attribute = NOUN_BACKENDS[name]
    backend: Callable[..., NounExtractor] = getattr(
        import_module(f"segtune.vocabulary.nouns.{module}"), attribute
    )
    given = dict(options or {})
    parameters = inspect.signature(backend).parameters
    known = [key for key in parameters if key not in ("vocabulary", "client", "cache")]
    if unknown := sorted(set(given) - set(known)):
        raise SegtuneError(
            f"noun backend {name} has no option {unknown[0]}; options are "
            f"{', '.join(known) or 'none'}"
        )
    needed = [key for key in known if parameters[key].default is inspect.Parameter.empty]
    if missing := [key for key in needed if key not in given]:
        raise SegtuneError(f"noun backend {name} needs {missing[0]}; add {missing[0]}=VALUE")
    if name != "lexicon":
        return backend(**given)
    if vocabulary is None:
        raise SegtuneError(
            "noun backend lexicon needs words to look for; give a vocabulary, or choose rules"
        )
    return backend(vocabulary)
