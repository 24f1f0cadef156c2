"""Reads a vocabulary from words, a file, a built-in name or plain data; opens no data set.

`segtune.data.formats.read_vocabulary` takes all of this, and the classes of a data set too.

| given | read as |
|---|---|
| `"road, car \\| automobile, !shadow"` | classes with synonyms after `\\|`, a negative after `!` |
| `"ade20k_150"` | a built-in list, see `segtune vocabularies` |
| `"A-150"`, `"PC-59"` | the words of a benchmark |
| `"voc15-5"`, `"coco156-15:seen"` | a zero-shot protocol with seen and unseen classes, or one group |
| `classes.txt` | one class per line, synonyms after `\\|`, comments after `#` |
| `classes.json`, `classes.yaml` | a list, or `{classes: [...], negatives: [...]}`; entries are words or mappings with name, synonyms, kind, group, color |
| a sequence | words, mappings or concepts |
"""  # noqa: E501 (a table row cannot be broken)

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from segtune.errors import SegtuneError, unknown_name
from segtune.storage.files import atomic_write
from segtune.storage.json_files import plain_json
from segtune.storage.yaml_files import load_yaml
from segtune.types import Concept, Vocabulary
from segtune.vocabulary.builtin import builtin, builtin_names
from segtune.vocabulary.entries import comma_list, vocabulary_from, vocabulary_of
from segtune.vocabulary.protocols import Group, find_protocol, is_protocol, zero_shot
from segtune.vocabulary.separators import has_separator

FILE_TYPES = (".txt", ".json", ".yaml", ".yml")

VocabularySpec = str | Path | Vocabulary | Sequence[str | Mapping[str, Any] | Concept]


def parse_vocabulary(
    spec: VocabularySpec, *, name: str | None = None, in_label_order: bool = False
) -> Vocabulary:
    """Returns the vocabulary that `spec` describes; see the table at the top of this module.

    Args:
        spec: words, a file, a built-in name, a sequence of entries, or a vocabulary as it is.
        name: what tables call it; by default the file stem, the built-in name or "custom".
        in_label_order: places are the values of label maps, so that a text file may have no empty
            line between its names.

    Raises:
        SegtuneError: the vocabulary is empty, repeats a class, or is not understood.
        FileNotFoundError: `spec` is a path without a file.

    Example:
        >>> parse_vocabulary("road, car | automobile, tree").names
        ('road', 'car', 'tree')
        >>> len(parse_vocabulary("coco_stuff_171"))
        171
    """
    if isinstance(spec, Vocabulary):
        return spec
    if isinstance(spec, Path):
        return _from_file(spec, name=name, in_label_order=in_label_order)
    if not isinstance(spec, str):
        return vocabulary_of(spec, name=name or "custom")
    text = spec.strip()
    if text in builtin_names():
        return builtin(text)
    if is_protocol(text):
        return find_protocol(text).words()
    protocol, _, group = text.rpartition(":")
    if group in get_args(Group) and is_protocol(protocol):
        return zero_shot(protocol, cast(Group, group))
    if is_protocol(protocol):
        raise unknown_name(group, get_args(Group), what=f"group of {protocol}")
    if Path(text).suffix.lower() in FILE_TYPES and "\n" not in text:
        return _from_file(Path(text), name=name, in_label_order=in_label_order)
    if re.fullmatch(r"\w+_\d+", text) and difflib.get_close_matches(text, builtin_names()):
        raise unknown_name(text, builtin_names(), what="built-in vocabulary")
    return comma_list(text.replace("\n", ","), name=name or "custom")


def write_vocabulary(path: Path | str, vocabulary: Vocabulary) -> None:
    """Writes a vocabulary as the JSON that `parse_vocabulary` reads; `path` ends in .json."""
    classes = []
    for concept in vocabulary:
        known = {key: value for key, value in asdict(concept).items() if value not in (None, ())}
        classes.append(known)
    content = {"name": vocabulary.name, "classes": classes, "negatives": vocabulary.negatives}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _from_file(path: Path, *, name: str | None, in_label_order: bool) -> Vocabulary:
    name = name or path.stem
    suffix = path.suffix.lower()
    text = read_text(path, what="vocabulary file")
    if suffix == ".json":
        return vocabulary_from(parse_json(text, path), name=name)
    if suffix in (".yaml", ".yml"):
        return vocabulary_from(parse_yaml(text, path), name=name)
    lines = [line.strip() for line in text.splitlines()]
    if in_label_order:
        _check_places(lines, path)
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise SegtuneError(f"{path} is empty; write one class name per line")
    if len(lines) == 1:
        return comma_list(lines[0], name=name)
    for line in lines:
        if has_separator(line):
            raise SegtuneError(
                f"{path}: the line {line!r} has a comma or semicolon; write one class per line, "
                "synonyms as 'name | synonym'"
            )
    return vocabulary_of(lines, name=name)


def _check_places(lines: Sequence[str], path: Path) -> None:
    """Raises where an empty line would shift the values of all names after it.

    In files with comments, line numbers mean nothing, so that empty lines do no harm.
    """
    names = [number for number, line in enumerate(lines) if line]
    gaps = [number for number in range(names[-1] if names else 0) if not lines[number]]
    if gaps and not any(line.startswith("#") for line in lines):
        raise SegtuneError(
            f"{path}: line {gaps[0] + 1} is empty, and places of names are values of label maps; "
            f"write a name for the value {gaps[0]}, such as 'unused', or remove the line"
        )


def read_text(path: Path, *, what: str) -> str:
    """Returns the content of a small text file; `what` names it in the error message."""
    if not path.is_file():
        raise FileNotFoundError(f"{what} {path} does not exist; check the path")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SegtuneError(f"{what} {path} is not text; save it as UTF-8") from None


def parse_json(text: str, path: Path) -> object:
    """Returns the JSON document; `path` names it in the error message."""
    return plain_json(text.encode("utf-8", "surrogatepass"), where=str(path))


def parse_yaml(text: str, path: Path) -> object:
    """Returns the YAML document, all values as text; `path` names it in the error message."""
    return load_yaml(text, where=str(path), as_text=True)
