"""What the options of a system are, read off its config class: no list that could go stale.

The meaning of a field is the comment behind it, or its line under "Attributes:" in the docstring of
the class; a comment on lines of its own is the heading of the fields below it.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Option:
    """One field of a config.

    Attributes:
        name: what is typed before the equals sign.
        default: what is typed after it to get the value that it has anyway.
        choices: the values or the kind of value that it takes.
        meaning: one line; empty where the class says nothing.
        tags: letters of the sources in its comment, such as "P".
        group: the heading above it in the class.
    """

    name: str
    default: str
    choices: str
    meaning: str = ""
    tags: str = ""
    group: str = ""


def options_of(config: Any) -> list[Option]:
    """Returns the options of a config with its values as defaults, in the order of the class.

    Args:
        config: a dataclass with the preset of a system.

    Example:
        >>> from segtune.systems.rpn.config import DenseClipConfig
        >>> options_of(DenseClipConfig())[0].meaning
        'False keeps the attention of the last layer'
    """
    notes: dict[str, tuple[str, str]] = {}
    for owner in reversed(type(config).__mro__):
        if is_dataclass(owner):
            notes |= _notes(owner)
    hints = get_type_hints(type(config))
    found = []
    for field in fields(config):
        group, meaning = notes.get(field.name, ("", ""))
        tags = "".join(re.findall(r"\[([A-Z])\]", meaning))
        value = typed(getattr(config, field.name))
        choices = choices_of(hints[field.name])
        found.append(Option(field.name, value, choices, meaning, tags, group))
    return found


def typed(value: Any) -> str:
    """Returns a value as it is typed after `--set NAME=`.

    Example:
        >>> typed(True), typed(None), typed((32, 32)), typed(("a", "b"))
        ('true', 'null', '[32, 32]', '[a, b]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"


def choices_of(hint: Any) -> str:
    """Returns what a type takes, for people.

    Example:
        >>> choices_of(Literal["a", "b"]), choices_of(int | None), choices_of(tuple[str, ...])
        ('a | b', 'whole number | null', '[text, ...]')
    """
    members = get_args(hint)
    if get_origin(hint) is Literal:
        return " | ".join(map(typed, members))
    if get_origin(hint) is UnionType:
        return " | ".join(map(choices_of, members))
    if get_origin(hint) is tuple:
        inner = ", ".join("..." if m is Ellipsis else choices_of(m) for m in members)
        return f"[{inner}]"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    return names.get(hint, "null" if hint is type(None) else str(hint))


def _notes(owner: type) -> dict[str, tuple[str, str]]:
    """Returns the heading and the meaning of every field that a class itself declares."""
    source = textwrap.dedent(inspect.getsource(owner))
    lines = source.splitlines()
    comments: Mapping[int, str] = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    in_docstring = _attributes(inspect.getdoc(owner) or "")
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, tuple[str, str]] = {}
    heading, last = "", 0
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = [n for n in range(last + 1, node.lineno) if lines[n - 1].strip().startswith("#")]
        if above and last:
            heading = " ".join(comments[n] for n in above)
        elif above:  # the docstring may hold such lines too: what is right above counts
            heading = " ".join(comments[n] for n in above if n in comments)
        last = node.end_lineno or node.lineno
        name = node.target.id
        notes[name] = (heading, comments.get(last) or in_docstring.get(name, ""))
    return notes


def _attributes(docstring: str) -> dict[str, str]:
    """Returns the entries under "Attributes:" of a docstring, name by name."""
    section = docstring.partition("Attributes:")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if entry := re.match(r" {4}(\w+(?:, \w+)*): (.*)", line):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found
