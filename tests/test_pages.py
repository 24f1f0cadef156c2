"""What pages claim about the code beside commands: tables, protocols, recipes, file formats."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from segtune.cli.main import parser_of
from segtune.data.formats import open_dataset
from segtune.data.protocols import layout_for
from segtune.fewshot.run import read_recipe
from segtune.vocabulary.nouns.registry import NOUN_BACKENDS
from segtune.vocabulary.protocols import find_protocol, protocol_names
from segtune.vocabulary.templates import read_templates
from tests import docs, standins
from tests.docs import ROOT

BENCHMARKS, MINING = (
    (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("benchmarks.md", "mining.md")
)
RECIPES = sorted((ROOT / "recipes" / "rpn").glob("*-*.yaml"))


def test_every_protocol_has_a_command() -> None:
    pages = ("docs/benchmarks.md", "docs/evaluating.md")
    commands = [line.words for page in pages for line in docs.lines(page)]
    commands = [words for words in commands if words[1:2] == ["evaluate"]]
    named = {parser_of(words[1]).parse_args(words[2:]).protocol for words in commands}
    assert named - {None} == set(protocol_names())


def test_published_settings_are_those_of_the_page() -> None:
    section = BENCHMARKS.split("## Which settings were published?")[1]
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
def test_recipes_of_protocols_open_their_data(tmp_path: Path, recipe: Path) -> None:
    datasets = standins.benchmarks(tmp_path) / "datasets"
    settings = read_recipe(recipe)
    assert settings.protocol == recipe.stem
    protocol = find_protocol(settings.protocol)
    assert settings.layout == protocol.layout == layout_for(protocol, datasets, None)
    assert settings.templates == read_templates(settings.templates).name
    plain = open_dataset(datasets, layout=settings.layout, vocabulary=protocol.classes())
    assert len(plain.vocabulary) == len(protocol.classes())


def test_the_line_of_captions_is_a_caption_file() -> None:
    (line,) = re.findall(r"^    (\{.+\})$", MINING, flags=re.MULTILINE)
    assert set(json.loads(line)) == {"image", "captions"}


def test_every_noun_finder_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(\w+)`", MINING, flags=re.MULTILINE)) >= set(NOUN_BACKENDS)
