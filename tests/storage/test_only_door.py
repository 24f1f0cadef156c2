"""Files are opened by the doors alone: no other code may load weights, pickles or arrays."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import segtune

SOURCE = Path(segtune.__file__).parent

FORBIDDEN = (
    "torch.load",
    "torch.jit",
    "torch.package",
    "torch.hub",
    "torch.serialization",
    "torch.storage",
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "numpy.load",
    "numpy.lib.format",
    "numpy.fromfile",
    "numpy.memmap",
    "pandas.read_pickle",
    "safetensors.safe_open",
    "safetensors.deserialize",
    "safetensors.torch.load",
    "safetensors.torch.load_file",
    "safetensors.torch.load_model",
    "safetensors.numpy",
    "yaml.load",
    "yaml.safe_load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "eval",
    "exec",
    "compile",
    "__import__",
)
"""Names, and all that begins with them and a dot."""

DOORS = {
    "storage/weights/__init__.py": {"torch.load", "safetensors.torch.load_file"},
    "storage/arrays.py": {"numpy.load", "numpy.lib.format"},
    "data/synthetic/store.py": {"numpy.lib.format"},  # writes its cache
    "trainers/bundled/clip/pool.py": {"numpy.lib.format"},  # so does this
    "storage/yaml_files.py": {"yaml.load"},  # with SafeLoaders, without aliases
}
"""Who may use which of them."""

KEYWORDS = {"weights_only": True, "allow_pickle": False}
"""Arguments with the only value that they may have, wherever they stand."""


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the dotted names that a module imports or uses, with imports resolved."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        parts: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield inner.lineno, ".".join([known.get(inner.id, inner.id), *reversed(parts)])


def _offences(text: str, allowed: set[str]) -> list[str]:
    tree = ast.parse(text)
    found = []
    for line, name in _names(tree):
        for forbidden in FORBIDDEN:
            if (name == forbidden or name.startswith(f"{forbidden}.")) and forbidden not in allowed:
                found.append(f"line {line}: {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            value = node.value
            if not (isinstance(value, ast.Constant) and value.value is KEYWORDS[node.arg]):
                found.append(f"line {node.lineno}: {node.arg}")
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            found.append(f"line {node.lineno}: {node.arg}")
    return found


def test_no_other_code_loads_weights_pickles_or_arrays():
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 200
    found = {}
    for file in files:
        name = file.relative_to(SOURCE).as_posix()
        if offences := _offences(file.read_text(encoding="utf-8"), DOORS.get(name, set())):
            found[name] = offences
    assert not found, f"use segtune.storage.weights or segtune.storage.arrays: {found}"


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load('a')",
        "import torch as t\nt.load('a', weights_only=True)",
        "from torch import load\nload('a')",
        "from torch import load as read",
        "import torch\nread = torch.load",
        "import torch.jit\ntorch.jit.load('a')",
        "from torch import jit",
        "from torch.jit import load",
        "import pickle",
        "def f():\n    from pickle import loads",
        "import numpy as np\nnp.load('a')",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "read(path, weights_only=False)",
        "read(path, weights_only=safe)",
        "from safetensors.torch import load_file",
        "from safetensors import safe_open",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "eval('1')",
        "AutoModel.from_pretrained(name, trust_remote_code=False)",
    ],
)
def test_each_way_around_the_doors_is_seen(text):
    assert _offences(text, set())


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.save({}, 'a')",
        "model.eval()",
        "model.load('a')",
        "import re\nre.compile('a')",
        "from safetensors.torch import save_file",
        "import yaml\nyaml.safe_dump(text)",
        "import numpy as np\nnp.save('a', x, allow_pickle=False)",
    ],
)
def test_other_code_is_not(text):
    assert not _offences(text, set())


def test_the_doors_use_what_they_are_allowed():
    for name, allowed in DOORS.items():
        used = {found for _, found in _names(ast.parse((SOURCE / name).read_text()))}
        for wanted in allowed:
            assert any(found == wanted or found.startswith(f"{wanted}.") for found in used), wanted
