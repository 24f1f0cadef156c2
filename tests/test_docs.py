"""What a reader could copy from README, docs and `--help`, run word by word on small stand-ins."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segtune
from segtune.backbones import cards
from segtune.cli.commands import COMMANDS
from segtune.cli.main import main, parser_of
from segtune.data.pairs import read_pairs
from segtune.fewshot.config import default_config
from tests import docs, standins
from tests.docs import PAGES, ROOT, Line

NOT_RUN = {
    r"make (demo|test)$": "tests/cli/test_demo.py runs the demo; this is a test",
    r"(python3 -m venv|pip install) ": "installing needs a package registry",
    r"python benchmarks/": "measurements of minutes to hours",
    r"python -m segtune\.trainers\.bundled\.": "scores of the bundled weights, for minutes",
    r"python -m segtune\.data\.synthetic\.contact_sheet ": "draws a picture of the repository",
    r"segtune align .*--ray-address ": "starts Ray; tests/engine/runners does",
    r"segtune train recipes/zoo/clip_vit\.yaml ": "renders for minutes; see its own tests",
    r"segtune train recipes/ovseg/maskformer-swinb\.yaml ": "a Swin-B; its weights are public",
}
"""Commands that are only read, options and all, with the reason."""
SMALL_WORLD = "synthetic:base?size=64&length=1"
SMALL_PAIRS = (
    f"--set data={SMALL_WORLD} --set evaluate={SMALL_WORLD} --set short_side=32 --set batch=1"
)
SMALL_MASKS = (
    f"--set data={SMALL_WORLD} --set batch=1 --set crop=64 --set shorts=[64] --set dense_size=64 "
    "--set feedforward=16 --set class_hidden=16 --set decoder_layers=1"
)
SMALL_OBJECTS = "--set steps=1 --set data=synthetic:longtail?size=64&length=2 --set batch=1"
SHORT = {
    "fit": f"--steps 1 --views 1 --retention 1 --retention-data {SMALL_WORLD}",
    "recipes/zoo/seem-camvid-day.yaml": "--set steps=1 --set crop=32 --set batch=1 --set init=null",
    "recipes/ovseg/ft-tiny.yaml": f"--set steps=1 {SMALL_PAIRS}",
    "recipes/ovseg/mpt-tiny.yaml": f"--set steps=1 {SMALL_PAIRS}",
    "recipes/ovseg/maskformer-tiny.yaml": f"--set steps=1 {SMALL_MASKS}",
    "recipes/segprompt/longtail.yaml": SMALL_OBJECTS,
    "recipes/segprompt/longtail-baseline.yaml": SMALL_OBJECTS,
    "recipes/zoo/segprompt.yaml": SMALL_OBJECTS,
    "recipes/zoo/mask2former.yaml": SMALL_OBJECTS,
    "recipes/segprompt/camvid-things.yaml": "--set steps=1 --set batch=1 --set init=null",
    "recipes/uniovseg/masks-tiny.yaml": f"--set steps=1 --set data={SMALL_WORLD} --set batch=1",
}
"""What is added to a command, or to a recipe, so that it ends after a step."""
SMALLER = {"--shots": "2", "--limit": "2", "--retention": "1", "--size": "32", "--workers": "1"}
INSTEAD = {
    "spacy": "rules",  # needs a package with its own data
    "vild": "single",  # fourteen sentences for each of 847 classes
}
"""What replaces a word, with the reason."""
"""What replaces the value of an option."""
WRITES = ("--out", "--json", "--html", "--csv")
READ_ONLY = {"from segtune.systems.rpn.official": "needs a released checkpoint"}
"""Python of which only the imports run, with the reason."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all stand-ins, from which every page gets its copy."""
    folder = tmp_path_factory.mktemp("standins")
    standins.zoo(folder / "zoo")
    standins.data(folder / "here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "ZOO", folder / "zoo")
        standins.models(folder / "here")
        clip = segtune.load("clip-vit-tiny")
        segtune.fit(
            clip,
            folder / "here/camvid",
            shots=1,
            system="rpn",
            config=standins.QUICK,
            out=folder / "here/FILE",
        )
    for name in ("street.prompts.safetensors", "street.safetensors"):
        shutil.copy(folder / "here/FILE", folder / "here" / name)
    (folder / "here/recipes").symlink_to(ROOT / "recipes")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which a page is read."""
    shutil.copytree(made / "here", tmp_path / "here", symlinks=True, copy_function=os.link)
    monkeypatch.setattr(cards, "ZOO", made / "zoo")
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("segtune.cli.fit.default_config", quick)
    monkeypatch.chdir(tmp_path / "here")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "here"
    torch.set_num_threads(before)


def quick(*args: Any, **options: Any) -> segtune.FitConfig:
    """Returns the settings of a fit whose comparisons on held-out shots take a step."""
    return replace(default_config(*args, **options), trial_steps=1)


def reason_not_to_run(line: Line) -> str | None:
    """Returns why a command is only read."""
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, line.text)), None)


def shortened(line: Line) -> list[str]:
    """Returns the words after `segtune`, with small data, few steps and values of loops."""
    words = line.words[1:]
    for place, word in enumerate(words):
        world = re.match(r"(.*synthetic:[\w-]+)(?:\?(.*))?$", word)
        if world:
            kept = [o for o in (world[2] or "").split("&") if re.match("captions|noise|seed", o)]
            words[place] = f"{world[1]}?{'&'.join(['size=64', 'length=2', *kept])}"
        words[place] = words[place].replace("$s", "0")
        words[place] = words[place].replace("&smallest=100", "&smallest=1")
        words[place] = INSTEAD.get(word, words[place])
        if word in SMALLER:
            given = words[place + 1 : place + 2]
            words[place + 1 : place + 1 + bool(given and given[0].isdigit())] = [SMALLER[word]]
    for name, extra in SHORT.items():
        if name in words:
            words += extra.split()
    return words


def run(line: Line) -> None:
    """Runs a command, or checks that it could be typed."""
    if reason_not_to_run(line) is not None:
        read(line)
        return
    words = shortened(line)
    if words[0] == "fit":  # on some pages others use its prompts before
        Path(words[words.index("--out") + 1]).unlink(missing_ok=True)
    assert main(words) == 0, " ".join(words)
    for option in WRITES:
        if option in words:
            assert Path(words[words.index(option) + 1]).exists(), f"{option} of {line.text}"
    if words[0] == "mine":
        assert any(pair.mask().any() for pair in read_pairs(words[words.index("--out") + 1]))


def read(line: Line) -> None:
    """Checks that what a command names is there: programs, options, recipes."""
    words = line.words
    if words[0] == "segtune":
        parser_of(words[1]).parse_args(words[2:])
        assert all((ROOT / word).is_file() for word in words if word.startswith("recipes/"))
    elif words[0] == "make":
        assert re.search(f"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[:2] == ["python", "-m"]:
        found = importlib.util.find_spec(words[2])
        assert found is not None
        assert found.origin is not None
        check_options(words[3:], Path(found.origin).read_text(encoding="utf-8"))
    elif words[0] == "python":
        shared = ("benchmarks/common.py", "src/segtune/cli/options/groups.py")
        sources = [ROOT / file for file in (words[1], *shared)]
        check_options(words[2:], "".join(file.read_text(encoding="utf-8") for file in sources))


def check_options(words: list[str], source: str) -> None:
    """Checks that a program speaks of the options that it is given."""
    for word in words:
        assert not word.startswith("--") or f'"{word}"' in source, word


def run_all(lines: list[Line]) -> None:
    """Runs commands in order and tells of all that fail."""
    failed = []
    for line in lines:
        try:
            run(line)
        except BaseException:
            failed.append(f"{line.text}\n{traceback.format_exc(limit=-3)}")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page(page: str, here: Path) -> None:
    run_all(docs.lines(page))


@pytest.mark.parametrize("command", [name for name in COMMANDS if docs.examples(name)])
def test_examples_of_help(command: str, here: Path, made: Path) -> None:
    Path("M").symlink_to(here / "proposals" if command == "mine" else made / "zoo/seem-tiny")
    run_all(docs.examples(command))


@pytest.mark.parametrize("page", [page for page in PAGES if docs.python_blocks(page)])
def test_python_of_a_page(page: str, here: Path) -> None:
    for block in docs.python_blocks(page):
        code = block.replace('"synthetic:jargon"', '"synthetic:jargon?size=64&length=2"')
        code = code.replace("shots=16", "shots=2, config=QUICK")
        if any(start in block for start in READ_ONLY):
            code = "\n".join(re.findall(r"^(?:import|from) .*", block, flags=re.MULTILINE))
        masks = np.zeros((1, 200, 260), bool)
        masks[0, 20:90, 30:120] = True
        given = {"model": segtune.load("clip-vit-tiny"), "masks": masks, "QUICK": standins.QUICK}
        exec(code, given)  # the page itself


def test_every_reason_is_needed() -> None:
    lines = [line for page in PAGES for line in docs.lines(page)]
    lines += [line for command in COMMANDS for line in docs.examples(command)]
    assert all(any(re.match(pattern, line.text) for line in lines) for pattern in NOT_RUN)
    blocks = [block for page in PAGES for block in docs.python_blocks(page)]
    assert all(any(start in block for block in blocks) for start in READ_ONLY)
