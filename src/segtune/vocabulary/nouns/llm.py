"""Nouns from a language model behind an OpenAI-compatible endpoint, local or remote.

Captions go in numbered batches; the answer must be JSON and is checked before it is believed. Every
answer is kept on disk by model, instruction and caption, so nothing is asked twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from segtune.errors import SegtuneError
from segtune.storage.files import cache_dir
from segtune.storage.jsonl import append_line, read_lines
from segtune.vocabulary.nouns.base import Noun, located, words_of
from segtune.vocabulary.nouns.singular import singular

logger = logging.getLogger(__name__)

INSTRUCTION = (
    "You get numbered captions of photographs. For each caption list every noun that names "
    "something visible, compound nouns as one entry, in the singular and in lower case, without "
    "adjectives and articles, in the order of the caption. Use only words of the caption. Answer "
    'with JSON only: {"nouns": [["word", ...], ...]}, one list per caption, in their order.'
)


class Client(Protocol):
    """The part of `openai.OpenAI` that is used."""

    @property
    def chat(self) -> Any:
        """Has `completions.create(model=..., messages=..., temperature=...)`."""
        ...


class InvalidAnswer(ValueError):
    """The model said something else than the JSON that was asked for."""


class LlmNouns:
    """Nouns that a language model names.

    Args:
        model: name that the endpoint knows.
        base_url: of the endpoint, such as "http://localhost:8000/v1"; OPENAI_BASE_URL where None.
        key: of the endpoint; OPENAI_API_KEY where None. It is written nowhere.
        batch: captions per request.
        retries: further attempts after a failed request or an invalid answer.
        timeout: of a request, in seconds.
        cache: folder of kept answers; in the cache of segtune where None.
        client: in place of one made by the `openai` package.

    Raises:
        SegtuneError: the package, the key or a usable answer is missing.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        key: str | None = None,
        batch: int = 20,
        retries: int = 3,
        timeout: float = 60.0,
        cache: Path | None = None,
        client: Client | None = None,
    ) -> None:
        if batch < 1 or retries < 0:
            raise SegtuneError(
                f"noun backend llm has batch={batch} and retries={retries}; expected at least 1 "
                "and 0"
            )
        self.model, self.batch, self.retries = model, batch, retries
        self.client = client or _openai_client(base_url, key, retries=retries, timeout=timeout)
        asked = hashlib.sha256(json.dumps([model, INSTRUCTION]).encode()).hexdigest()[:16]
        self.file = (cache or cache_dir() / "nouns") / f"{asked}.jsonl"
        self._known: dict[str, list[str]] = {}
        for line in read_lines(self.file):
            entry = json.loads(line)
            self._known[entry["caption"]] = list(entry["nouns"])

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the nouns of each caption; only those of unknown captions are asked for."""
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        for start in range(0, len(new), self.batch):
            part = new[start : start + self.batch]
            for caption, nouns in zip(part, self._ask(part), strict=True):
                self._known[caption] = nouns
                append_line(self.file, {"caption": caption, "nouns": nouns})
        return [[_placed(noun, caption) for noun in self._known[caption]] for caption in captions]

    def _ask(self, captions: Sequence[str]) -> list[list[str]]:
        """The answers to one batch; asked again while they are invalid, at last one by one."""
        reason = ""
        for _ in range(self.retries + 1):
            try:
                return _checked(self._answer(captions), captions)
            except InvalidAnswer as error:
                reason = str(error)
        if len(captions) > 1:
            return [self._ask([caption])[0] for caption in captions]
        raise SegtuneError(
            f"model {self.model} gave no usable answer for the caption {captions[0]!r} in "
            f"{self.retries + 1} attempts: {reason}; choose another model"
        )

    def _answer(self, captions: Sequence[str]) -> str:
        numbered = "\n".join(f"{i}. {' '.join(c.split())}" for i, c in enumerate(captions, 1))
        try:
            reply = self.client.chat.completions.create(
                model=self.model,
                messages=[
                    {"role": "system", "content": INSTRUCTION},
                    {"role": "user", "content": numbered},
                ],
                temperature=0,
            )
        except Exception as error:
            if not _is_of_openai(error):
                raise
            raise SegtuneError(
                f"the endpoint of model {self.model} failed: {error}; check base_url, key and model"
            ) from None
        return reply.choices[0].message.content or ""


def _openai_client(
    base_url: str | None, key: str | None, *, retries: int, timeout: float
) -> Client:
    try:
        import openai
    except ImportError:
        raise SegtuneError(
            "noun backend llm needs the openai package; type pip install 'segtune[llm]'"
        ) from None
    key = key or os.environ.get("OPENAI_API_KEY")
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    if key is None and base_url is None:
        raise SegtuneError(
            "noun backend llm has neither a key nor an endpoint; set OPENAI_API_KEY, or give "
            "base_url=http://HOST/v1 of a local server"
        )
    return openai.OpenAI(
        base_url=base_url, api_key=key or "none", max_retries=retries, timeout=timeout
    )


def _is_of_openai(error: Exception) -> bool:
    return any(base.__name__ == "OpenAIError" for base in type(error).__mro__)


def _checked(answer: str, captions: Sequence[str]) -> list[list[str]]:
    """The lists of an answer; words that the caption does not have are left out.

    Raises:
        InvalidAnswer: it is not the JSON that was asked for.
    """
    try:
        lists = json.loads(_without_fence(answer))["nouns"]
    except (ValueError, TypeError, KeyError):
        raise InvalidAnswer(f"{answer[:80]!r} is not the JSON that was asked for") from None
    if not isinstance(lists, list) or len(lists) != len(captions):
        raise InvalidAnswer(f"expected {len(captions)} lists of nouns")
    nouns = []
    for words, caption in zip(lists, captions, strict=True):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidAnswer(f"the nouns of {caption[:60]!r} are not a list of words")
        said = list(_in_caption(words, caption))
        if len(said) < len(words):
            logger.info("%d words are not in the caption %r", len(words) - len(said), caption)
        nouns.append(said)
    return nouns


def _without_fence(answer: str) -> str:
    """The JSON of an answer that some models wrap in a Markdown fence."""
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    return text


def _in_caption(words: Sequence[str], caption: str) -> Iterator[str]:
    """The words all of whose parts are in the caption, singular or plural."""
    known = {singular(word.text) for word in words_of(caption)}
    known |= {part for word in list(known) for part in word.replace("’", "'").split("'")}  # noqa: RUF001
    for word in words:
        parts = [singular(part.text) for part in words_of(word)]
        if parts and all(part in known for part in parts):
            yield word


def _placed(noun: str, caption: str) -> Noun:
    """The noun with the place of its words, which may be plural in the caption."""
    wanted = [singular(part.text) for part in words_of(noun)]
    words = words_of(caption)
    for i in range(len(words) - len(wanted) + 1):
        if [singular(word.text) for word in words[i : i + len(wanted)]] == wanted:
            start, end = words[i].span[0], words[i + len(wanted) - 1].span[1]
            said = caption[start:end]
            # A plural that the model repeats is folded; where it gave a singular, it is believed.
            lemma = None if noun.lower() == said.lower() else noun
            return Noun.of(said, (start, end), lemma=lemma)
    return located(noun, caption)
