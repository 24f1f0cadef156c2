"""The page about mining: its commands, run word by word on small stand-ins."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.random import random_maskformer
from segtune.cli.main import main
from segtune.data.pairs import read_pairs
from segtune.vocabulary.nouns.registry import NOUN_BACKENDS
from tests.cli.conftest import export_tiny
from tests.data import trees

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "mining.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    segtune (.+)$", PAGE, flags=re.MULTILINE)
LINE = re.findall(r"^    (\{.+\})$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page names: photographs, COCO, two models."""
    monkeypatch.chdir(tmp_path)
    trees.save_image(tmp_path / "photos" / "a.jpg", size=(32, 40))
    Path("captions.jsonl").write_text(LINE[0] + "\n")
    trees.coco_instances(tmp_path / "coco")
    said = trees.coco_captions(tmp_path / "coco")
    said.write_text(said.read_text().replace("Second one.", "Two persons and a car."))
    save_maskformer(random_maskformer(), tmp_path / "proposals")
    export_tiny(tmp_path / "clip", seed=0)
    return tmp_path


def test_the_line_of_the_page_is_a_caption_file() -> None:
    assert set(json.loads(LINE[0])) == {"image", "captions"}


def test_every_noun_finder_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(\w+)`", PAGE, flags=re.MULTILINE)) >= set(NOUN_BACKENDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(folder: Path, command: str) -> None:
    words = shlex.split(command)
    words = [word.replace("synthetic:base", "synthetic:base?size=64&length=3") for word in words]
    assert main(words) == 0
    pairs = list(read_pairs(words[words.index("--out") + 1]))
    assert pairs
    assert all(pair.mask().any() for pair in pairs)
