"""YAML from strangers: plain values, without aliases, which make gigabytes of a kilobyte.

A text is first read as events, which are few and flat, and only then turned into values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from segtune.errors import SegtuneError, printable

if TYPE_CHECKING:
    import yaml

DEEPEST = 50
"""Lists in lists that are read; people write two or three."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


def load_yaml(text: str, *, where: str, as_text: bool = False) -> Any:
    """Returns the values in a YAML text; None where there are none.

    Args:
        text: one document.
        where: it is from, for messages.
        as_text: every value but null is text: YAML takes the names no, on, 1e3 and 12:30 for
            others. Otherwise 1e-3 is a number, which YAML 1.1 takes for a word.

    Raises:
        SegtuneError: it is no YAML, has aliases, or lists in lists without end.

    Example:
        >>> load_yaml("{lr: 1e-3, on: [a]}", where="my.yaml", as_text=True)
        {'lr': '1e-3', 'on': ['a']}
        >>> load_yaml("a: &x [1]\\nb: *x", where="f.yaml")
        Traceback (most recent call last):
        segtune.errors.SegtuneError: f.yaml line 2: the alias *x is not read; write the value itself
    """
    import yaml

    loader = _loader(as_text)
    try:
        _check(yaml.parse(text, Loader=loader), where)
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        reason = error.problem or error.context or "it cannot be read"
        raise SegtuneError(
            f"{where} is not valid YAML{line}: {printable(reason)}; correct that line"
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, SegtuneError):
            raise
        reason = printable(str(error)).strip()
        raise SegtuneError(f"{where} is not valid YAML: {reason}; correct it") from None


def _check(events: Iterable[Any], where: str) -> None:
    """Raises where a document has aliases, or is nested too deeply."""
    import yaml

    depth = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise SegtuneError(
                f"{where} line {line}: the alias *{event.anchor} is not read; "
                "write the value itself"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise SegtuneError(f"{where} line {line}: brackets in brackets without end")


@cache
def _loader(as_text: bool) -> type[yaml.SafeLoader]:
    """Returns a safe loader of YAML, the fast one where it is there."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if as_text:

        class TextLoader(base):  # type: ignore[misc]  # one of two classes
            yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
                first: [pair for pair in pairs if pair[0] == "tag:yaml.org,2002:null"]
                for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
            }

        return TextLoader

    class NumberLoader(base):  # type: ignore[misc]
        pass

    NumberLoader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    return NumberLoader
