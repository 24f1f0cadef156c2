"""Runs the examples in the docstrings of the data and vocabulary rooms."""

import doctest
import os
import subprocess
import sys
from importlib import import_module

import pytest

MODULES = (
    "segtune.storage.files",
    "segtune.data.labels",
    "segtune.data.photometric",
    "segtune.data.shots",
    "segtune.data.formats",
    "segtune.vocabulary.builtin",
    "segtune.vocabulary.entries",
    "segtune.vocabulary.parse",
    "segtune.vocabulary.protocols",
    "segtune.vocabulary.templates",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_formats_and_vocabularies_do_not_import_torch() -> None:
    code = (
        "import sys, segtune.data.formats as f, segtune.vocabulary.templates;"
        "[entry.module() for entry in f.layouts()]; sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert run.returncode == 0
