"""Files of tools with damage in them: one line of the project's own, never another exception."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from tests.data import trees

ROUNDS = int(os.environ.get("SEGTUNE_DAMAGE_ROUNDS", "40"))
"""Damaged files per layout; 1000 find what is rare."""
TREES: dict[str, Callable[[Path], Any]] = {
    "labelme": trees.labelme,
    "cvat.images": trees.cvat,
    "cvat.masks": trees.cvat_masks,
    "labelstudio": trees.labelstudio,
    "yolo": trees.yolo,
    "voc_project": trees.voc_project,
    "color_png": trees.color_png,
    "coco": trees.roboflow,
    "supervisely": trees.supervisely,
    "sa1b": trees.sa1b,
    "kitti": trees.kitti,
}
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "\u202e", -1, 0, 1, 7, 3.5, -1e9, 1e308, 10**30),
    *([], {}, [[]], [None], [1, 2, 3], {"a": 1}, float("nan"), float("inf"), "9" * 5000),
)


def damaged_json(content: Any, chance: random.Random) -> Any:
    """Returns JSON with one value in it replaced, left out, or doubled."""
    if isinstance(content, dict) and content and chance.random() < 0.9:
        key = chance.choice(list(content))
        if chance.random() < 0.1:
            return {name: value for name, value in content.items() if name != key}
        return {**content, key: damaged_json(content[key], chance)}
    if isinstance(content, list) and content and chance.random() < 0.9:
        place = chance.randrange(len(content))
        if chance.random() < 0.1:
            return [*content, content[place]]
        return [*content[:place], damaged_json(content[place], chance), *content[place + 1 :]]
    return chance.choice(ODD_VALUES)


def damaged_text(text: str, chance: random.Random) -> str:
    """Returns text with a number or a word in it replaced."""
    words = list(re.finditer(r"[-\w.]+", text))
    if not words:
        return "x"
    word = chance.choice(words)
    value = chance.choice([each for each in ODD_VALUES if not isinstance(each, dict | list)])
    return f"{text[: word.start()]}{value}{text[word.end() :]}"


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Returns bytes cut off, or with some of them changed."""
    if chance.random() < 0.3:
        return content[: chance.randrange(len(content) + 1)]
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 8)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def damage(file: Path, chance: random.Random) -> bytes:
    """Returns the content of a file, damaged."""
    content = file.read_bytes()
    if chance.random() < 0.3 or file.suffix not in (".json", ".xml", ".txt", ".yaml", ".csv"):
        return damaged_bytes(content, chance)
    if file.suffix == ".json":
        return json.dumps(damaged_json(json.loads(content), chance)).encode()
    return damaged_text(content.decode(), chance).encode("utf-8", "replace")


@pytest.mark.parametrize("layout", TREES)
def test_damage_is_one_line(tmp_path: Path, layout: str) -> None:
    TREES[layout](tmp_path)
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    whole = {file: file.read_bytes() for file in files}
    assert len(open_dataset(tmp_path)) == 1
    for number in range(ROUNDS):
        chance = random.Random(f"{layout} {number}")
        file = chance.choice(files)
        bad = damage(file, chance)
        file.write_bytes(bad)
        try:
            dataset = open_dataset(tmp_path)
            for index in range(min(len(dataset), 3)):
                dataset[index].pixels()
        except (SegtuneError, FileNotFoundError):
            pass  # one line for the user
        except Exception as error:
            raise AssertionError(f"round {number}, {file}: {error!r}: {bad[:500]!r}") from error
        file.write_bytes(whole[file])
