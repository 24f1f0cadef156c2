"""What a data set does not give: images without labels, objects without masks, damaged entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from segtune.types import Dataset

NAMED = 3
"""How many of those left out for one reason are named."""

T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """One thing that was left out, and why.

    Attributes:
        name: of the image, file or annotation.
        why: the reason, without the name: those with the same reason are counted together.
    """

    name: str
    why: str


class Found(tuple[T, ...]):
    """What was found in a data set, and what was left out of it on the way."""

    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, found: Iterable[T], left_out: Iterable[LeftOut]) -> Found[T]:
        """Returns both as one."""
        both = cls(found)
        both.left_out = tuple(left_out)
        return both


def left_out_of(dataset: Dataset) -> tuple[LeftOut, ...]:
    """Returns what a dataset, and the datasets that it is a view of, have left out."""
    own = tuple(getattr(dataset, "left_out", ()))
    inner = getattr(dataset, "dataset", None)
    return own if inner is None else (*left_out_of(inner), *own)


def sentences(left_out: Iterable[LeftOut]) -> list[str]:
    """Returns one sentence per reason, with a count and the first names.

    Example:
        >>> some = [LeftOut(f"{i}.jpg", "no label map") for i in range(5)]
        >>> sentences(some)
        ['5 left out, no label map: 0.jpg, 1.jpg, 2.jpg and 2 more']
    """
    by_reason: dict[str, list[str]] = defaultdict(list)
    for each in left_out:
        by_reason[each.why].append(each.name)
    lines = []
    for why, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        lines.append(f"{len(names)} left out, {why}: {', '.join(names[:NAMED])}{more}")
    return lines
