"""The values of `--points` and `--boxes`: written out for all images, or a JSON file by image."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segtune.cli.images import ImageFile
from segtune.data.masks.names import Names
from segtune.data.masks.shapes import FARTHEST_PX
from segtune.errors import DataError, SegtuneError
from segtune.storage.json_files import read_json

Numbers = tuple[float, ...]
Prompts = list[list[Numbers]]
"""Per object, its clicks (x, y, label); or, per object, its one box (x1, y1, x2, y2)."""

EXAMPLES = {
    "points": '"120,80", "120,80; 40,60,-" with a click beside the object, "120,80 | 300,90" for '
    "two objects, or a .json file",
    "boxes": '"10,20,200,180", "10,20,200,180; 5,5,60,90" for two objects, or a .json file',
}


@dataclass(frozen=True)
class Pointing:
    """What is pointed at in which image.

    Attributes:
        everywhere: the prompts of all images; None where a file tells them by image.
        by_image: path, file name, or name without its ending -> prompts.
        images: the images of this run, so that none gets the prompts of another.
    """

    kind: Literal["points", "boxes"]
    everywhere: Prompts | None = None
    by_image: dict[str, Prompts] | None = None
    file: Path | None = None
    images: tuple[Path, ...] = ()

    @cached_property
    def _names(self) -> Names:
        return Names(self.by_image or {}, where=self.file or "", images=self.images)

    def at(self, image: ImageFile) -> Prompts | None:
        """Returns the prompts of an image; None where the file has none for it."""
        if self.by_image is None:
            return self.everywhere
        found = self._names.find(image.path)
        return None if found is None else self.by_image[found]

    def arguments(self, prompts: Prompts) -> tuple[Any, ...]:
        """Returns the arguments of `segment_points` or `segment_boxes` after the image."""
        if self.kind == "boxes":
            return ([group[0] for group in prompts],)
        points = [[point[:2] for point in group] for group in prompts]
        return points, [[int(point[2]) for point in group] for group in prompts]


def points(text: str) -> Pointing:
    """Returns the value of `--points`.

    `;` separates clicks, `|` objects; a click that ends in `-` lies beside its object.

    Example:
        >>> points("120,80; 40,60,- | 7,9").everywhere
        [[(120.0, 80.0, 1.0), (40.0, 60.0, 0.0)], [(7.0, 9.0, 1.0)]]
    """
    if text.strip().endswith(".json"):
        return _from_file(Path(text.strip()), "points")
    groups = [
        [_click(click, text) for click in group.split(";") if click.strip()]
        for group in text.split("|")
    ]
    return Pointing("points", everywhere=_whole(groups, "points"))


def boxes(text: str) -> Pointing:
    """Returns the value of `--boxes`; `;` and `|` separate them.

    Example:
        >>> boxes("10,20,200,180").everywhere
        [[(10.0, 20.0, 200.0, 180.0)]]
    """
    if text.strip().endswith(".json"):
        return _from_file(Path(text.strip()), "boxes")
    parts = [part for part in re.split("[;|]", text) if part.strip()]
    groups = [[_floats(part.split(","), 4, text, "boxes")] for part in parts]
    return Pointing("boxes", everywhere=_whole(groups, "boxes"))


def _click(click: str, text: str) -> Numbers:
    words = [word.strip() for word in click.split(",")]
    label = 1.0
    if words[-1] in ("-", "+"):
        label = float(words.pop() == "+")
    return (*_floats(words, 2, text, "points"), label)


def _floats(words: Sequence[Any], length: int, given: str, kind: str) -> Numbers:
    """Returns finite numbers, so many of them."""
    try:
        numbers = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != length or not all(abs(number) <= FARTHEST_PX for number in numbers):
        raise SegtuneError(f"--{kind} {given!r} is not understood; type {EXAMPLES[kind]}")
    return numbers


def _whole(groups: Prompts, kind: str) -> Prompts:
    """Returns the groups; each must have something in it."""
    if not groups or not all(groups):
        raise SegtuneError(f"--{kind} has an object without {kind}; type {EXAMPLES[kind]}")
    if kind == "points" and not all(any(click[2] == 1 for click in group) for group in groups):
        raise SegtuneError(
            "--points has an object without a positive point; every group between | needs one "
            "without a trailing -"
        )
    return groups


def _from_file(path: Path, kind: Literal["points", "boxes"]) -> Pointing:
    """Returns what a JSON file says: {image name: [[x, y, label], ...]}, or boxes in there.

    All points of an image mean one object, unless they are grouped by one more pair of brackets.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check the path of --{kind}")
    read: Callable[[Any, str], Prompts] = _points_entry if kind == "points" else _boxes_entry
    content = read_json(path, Any)
    if not isinstance(content, dict) or not content:
        raise DataError(
            f"{path} holds no {kind}; expected "
            + ('{"a.jpg": [[x, y, 1], ...]}' if kind == "points" else '{"a.jpg": [[x1, y1, ...]]}')
        )
    by_image = {name: read(entry, f"{path}: {name}") for name, entry in content.items()}
    return Pointing(kind, by_image=by_image, file=path)


def _points_entry(entry: Any, where: str) -> Prompts:
    if not isinstance(entry, list) or not entry:
        raise DataError(f"{where} has no points; expected [[x, y, label], ...]")
    groups = entry if _is_nested(entry) else [entry]
    found = []
    for group in groups:
        if not isinstance(group, list):
            raise DataError(f"{where} has {str(group)[:40]} as an object; expected [[x, y], ...]")
        clicks = []
        for click in group:
            if not isinstance(click, list) or len(click) not in (2, 3) or click[2:] not in _LABELS:
                raise DataError(
                    f"{where} has the point {str(click)[:80]}; expected [x, y] or [x, y, "
                    "label] with label 1 on the object and 0 beside it"
                )
            clicks.append((*_floats_of_file(click[:2], where), float(click[2] if click[2:] else 1)))
        if not any(click[2] == 1 for click in clicks):
            raise DataError(f"{where} has no positive point; give one with label 1")
        found.append(clicks)
    return found


_LABELS: tuple[list[int], ...] = ([], [0], [1])


def _boxes_entry(entry: Any, where: str) -> Prompts:
    if not isinstance(entry, list) or not entry:
        raise DataError(f"{where} has no boxes; expected [[x1, y1, x2, y2], ...]")
    found: Prompts = []
    for box in entry:
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{where} has the box {str(box)[:80]}; expected [x1, y1, x2, y2]")
        found.append([_floats_of_file(box, where)])
    return found


def _is_nested(entry: list[Any]) -> bool:
    first = entry[0]
    return isinstance(first, list) and bool(first) and isinstance(first[0], list)


def _floats_of_file(values: Sequence[Any], where: str) -> Numbers:
    if not all(isinstance(value, int | float) and abs(value) <= FARTHEST_PX for value in values):
        raise DataError(f"{where} has {str(list(values))[:80]}; expected pixels of the image")
    return tuple(float(value) for value in values)
