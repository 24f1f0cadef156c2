"""What `import segtune` offers: everything by name, nothing heavy before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segtune
from segtune.cli.commands import COMMANDS

HEAVY = ("torch", "transformers", "scipy", "PIL", "huggingface_hub", "accelerate")
SHOW_HEAVY = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
IMPORT_SECONDS, HELP_SECONDS = 0.15, 0.6


def run(code: str) -> str:
    """Returns what a fresh interpreter prints last."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def seconds(code: str) -> float:
    """Returns the processor time of a piece of code in a fresh interpreter, the best of three."""
    timed = f"import time; begin = time.process_time()\n{code}\nprint(time.process_time() - begin)"
    return min(float(run(timed)) for _ in range(3))


@pytest.mark.parametrize("name", segtune.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(segtune, name) is not None
    assert name in dir(segtune)


def test_errors_are_what_the_package_raises() -> None:
    with pytest.raises(segtune.SegtuneError, match="vocabulary is empty"):
        segtune.Vocabulary(())
    assert issubclass(segtune.DataError, segtune.SegtuneError)
    assert issubclass(segtune.WeightsError, segtune.SegtuneError)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segmnt'"):
        _ = segtune.segmnt


def test_type_checkers_see_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(segtune.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == segtune._HOME


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(segtune.__file__).parent / "py.typed").is_file()


def test_importing_it_imports_nothing_heavy() -> None:
    assert run(f"import segtune; {SHOW_HEAVY}") == "[]"


def test_reading_data_and_words_needs_no_torch() -> None:
    code = """import sys, segtune.data.formats as formats, segtune.vocabulary.templates
[entry.module() for entry in formats.layouts()]
print("torch" in sys.modules)"""
    assert run(code) == "False"


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
from segtune.cli.main import main
try:
    main({words})
except SystemExit:
    pass
{SHOW_HEAVY}"""
    assert run(code) == "[]"


def test_importing_and_help_are_quick() -> None:
    assert seconds("import segtune") < IMPORT_SECONDS
    assert seconds("from segtune.cli.main import main; main(['--help'])") < HELP_SECONDS
