"""Rooms: who may import whom, read off the imports; the order of rooms stands in CONTRIBUTING.md.

Every import counts: at the top of a file, inside of functions, and for types alone.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "segtune"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES_SIDE_BY_SIDE, LINES = 20, 400

Edge = tuple[str, str]

ALLOWED_IMPORTS: dict[Edge, str] = {}
"""Imports that are left to be removed, with the reason; this list only gets shorter."""
ALLOWED_FOLDERS: dict[str, str] = {}
"""Folders with too many files, with the reason; this list only gets shorter."""


def rooms(page: str = PAGE) -> list[str]:
    """Returns the rooms of the table in CONTRIBUTING.md, in its order."""
    section = page.split("## Where things live")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", section, flags=re.MULTILINE)
    return [
        name.removesuffix("/").removesuffix(".py")
        for cell in first_cells
        for name in re.findall(r"`([^`]+)`", cell)
    ]


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Returns the modules of a package by their dotted names."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path = PACKAGE) -> list[Edge]:
    """Returns (importer, imported) for all imports between modules of a package."""
    known = modules(package)
    edges = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import; write the whole name"
                base = node.module or ""
                parts = [f"{base}.{alias.name}" for alias in node.names]
                wanted = [part if part in known else base for part in parts]
            else:
                continue
            edges += [(name, target) for target in wanted if target in known and target != name]
    return list(dict.fromkeys(edges))


def room_of(module: str) -> str:
    """Returns the room of a module: the first folder or file below the package."""
    return module.split(".")[1] if "." in module else "__init__"


def circle(edges: list[Edge]) -> list[str]:
    """Returns the modules of one import circle, in order; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def downward(edges: list[Edge], order: list[str]) -> list[Edge]:
    """Returns the imports from a room that stands lower in the order."""
    place = {room: number for number, room in enumerate(order)}
    return [(a, b) for a, b in edges if place[room_of(b)] > place[room_of(a)]]


def across_systems(edges: list[Edge]) -> list[Edge]:
    """Returns the imports of one system's folder from another's."""

    def system(module: str) -> str | None:
        parts = module.split(".")
        is_inside = len(parts) > 2 and parts[1] == "systems"
        return parts[2] if is_inside and (PACKAGE / "systems" / parts[2]).is_dir() else None

    return [(a, b) for a, b in edges if None is not system(a) != system(b) is not None]


def test_every_room_is_in_the_table_and_no_other() -> None:
    assert set(rooms()) == {room_of(module) for module in modules()}
    assert len(rooms()) == len(set(rooms()))


def test_there_is_no_import_circle() -> None:
    edges = [edge for edge in imports() if edge not in ALLOWED_IMPORTS]
    assert circle(edges) == []


def test_no_room_imports_a_lower_one() -> None:
    assert [edge for edge in downward(imports(), rooms()) if edge not in ALLOWED_IMPORTS] == []


def test_no_system_imports_another() -> None:
    assert across_systems(imports()) == []


def test_folders_can_be_read_at_a_glance() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    counts = {
        folder.relative_to(PACKAGE).as_posix(): len(list(folder.glob("*.py"))) for folder in folders
    }
    large = {folder for folder, count in counts.items() if count > FILES_SIDE_BY_SIDE}
    assert large - set(ALLOWED_FOLDERS) == set()


@pytest.mark.parametrize("path", modules().values(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def test_exceptions_are_needed() -> None:
    assert set(ALLOWED_IMPORTS) <= set(imports())
    for folder in ALLOWED_FOLDERS:
        assert len(list((PACKAGE / folder).glob("*.py"))) > FILES_SIDE_BY_SIDE


def test_the_checks_see_what_they_forbid(tmp_path: Path) -> None:
    """A package with a circle inside of a function, and an import that only types need."""
    files = {
        "house/__init__.py": "",
        "house/low.py": "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from house.high.a import A\n",
        "house/high/__init__.py": "",
        "house/high/a.py": "def f():\n    import house.high.b\n",
        "house/high/b.py": "from house.high import a, c\n",
        "house/high/c.py": "import os\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    edges = imports(tmp_path / "house")
    assert set(edges) == {
        ("house.low", "house.high.a"),
        ("house.high.a", "house.high.b"),
        ("house.high.b", "house.high.a"),
        ("house.high.b", "house.high.c"),
    }
    assert set(circle(edges)) == {"house.high.a", "house.high.b"}
    assert downward(edges, ["low", "high"]) == [("house.low", "house.high.a")]
    assert downward(edges, ["high", "low"]) == []
    across = ("segtune.systems.rpn.model", "segtune.systems.ovseg.model")
    within = ("segtune.systems.rpn.model", "segtune.systems.base")
    assert across_systems([across, within]) == [across]
