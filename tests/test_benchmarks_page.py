"""The page about benchmarks says what the code does."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from segtune.cli.commands import COMMANDS
from segtune.data.formats import open_dataset
from segtune.data.protocols import layout_for, open_for
from segtune.fewshot.run import read_recipe
from segtune.vocabulary.protocols import find_protocol, protocol_names
from segtune.vocabulary.templates import read_templates
from tests.data import trees

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
COMMANDS_THERE = re.findall(r"^    segtune evaluate (.+)$", PAGE, flags=re.MULTILINE)
RECIPES = sorted((ROOT / "recipes" / "rpn").glob("*-*.yaml"))


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    """The tree of the page."""
    trees.ade20k(tmp_path / "ADEChallengeData2016")
    trees.ade20k_full(tmp_path / "ADE20K_2021_17_01")
    list_file = "ImageSets/Main/val.txt"
    trees.context_published(tmp_path / "VOCdevkit" / "VOC2010", list_file=list_file)
    trees.voc(tmp_path / "VOCdevkit" / "VOC2012", augmented=False)
    trees.coco_stuff(tmp_path / "coco", published=True)
    trees.cityscapes(tmp_path / "cityscapes", train_ids=False)
    return tmp_path


def parsed(command: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    COMMANDS["evaluate"].add_options(parser)
    return parser.parse_args(shlex.split(command))


def test_every_protocol_has_a_command() -> None:
    assert {parsed(command).protocol for command in COMMANDS_THERE} == set(protocol_names())


@pytest.mark.parametrize("command", COMMANDS_THERE)
def test_commands_find_their_data(datasets: Path, command: str) -> None:
    options = parsed(command)
    dataset = open_for(options.protocol, datasets, split="val")
    assert dataset[0].semantic is not None
    find_protocol(options.protocol).scoring_map(options.names or "synonyms")
    read_templates(options.templates or "single")


def test_published_settings_are_those_of_the_page() -> None:
    section = PAGE.split("## Which settings were published?")[1]
    lines = (line.split("|") for line in section.splitlines() if line.startswith("| "))
    table = {line[1].strip(): [cell.strip() for cell in line[2:5]] for line in lines}
    assert set(table) <= {"protocol", *protocol_names()}
    for name in protocol_names():
        protocol = find_protocol(name)
        cells = table.get(name, ["", "", ""])
        for system, cell in zip(("ovseg", "simbaseline", "zegformer"), cells, strict=True):
            setting = protocol.setting(system)
            numbers = [float(number) for number in re.findall(r"\d(?:\.\d+)?", cell)]
            published = list(setting.options.values()) if setting is not None else []
            assert numbers[: len(published)] == published, (name, system)
            assert bool(numbers) == bool(published), (name, system)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_protocols_open_their_data(datasets: Path, recipe: Path) -> None:
    settings = read_recipe(recipe)
    assert settings.protocol == recipe.stem
    protocol = find_protocol(settings.protocol)
    assert settings.layout == protocol.layout == layout_for(protocol, datasets, None)
    assert settings.templates == read_templates(settings.templates).name
    plain = open_dataset(datasets, layout=settings.layout, vocabulary=protocol.classes())
    assert len(plain.vocabulary) == len(protocol.classes())
