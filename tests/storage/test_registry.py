"""Tables by name: order, unknown names, entries of other packages."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from segtune.errors import SegtuneError
from segtune.storage import registry
from segtune.storage.registry import Registry, resolve


@dataclass(frozen=True)
class Tool:
    name: str


HAMMERS = (Tool("hammer"), Tool("sledge"))
SAW = Tool("saw")


def test_entries_keep_their_order_and_are_found():
    tools = Registry("tool", [Tool("saw"), Tool("axe")])
    tools.add(Tool("file"))
    assert list(tools) == ["saw", "axe", "file"]
    assert tools.find("axe") is tools["axe"]
    assert "hammer" not in tools
    assert len(tools) == 3


def test_a_name_that_is_nearly_right_is_offered():
    tools = Registry("tool", HAMMERS)
    with pytest.raises(SegtuneError, match=r"'hamer' is not a tool; did you mean hammer\?"):
        tools.find("hamer")
    with pytest.raises(KeyError):
        tools["hamer"]


def test_two_entries_of_one_name_are_refused():
    with pytest.raises(SegtuneError, match="there is a tool saw already"):
        Registry("tool", [SAW, Tool("saw")])


def test_other_packages_add_entries(monkeypatch):
    points = [
        EntryPoint("one", f"{__name__}:SAW", "segtune.tools"),
        EntryPoint("more", f"{__name__}:HAMMERS", "segtune.tools"),
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.split(":")[1]])
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    tools = Registry("tool", [Tool("axe")], group="segtune.tools")
    assert list(tools) == ["axe", "saw", "hammer", "sledge"]


def test_a_broken_package_is_one_line(monkeypatch):
    points = [EntryPoint("bad", "no.such.module:X", "segtune.tools")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(SegtuneError, match=r"bad = no\.such\.module:X .* cannot be loaded"):
        list(Registry("tool", group="segtune.tools"))


@pytest.mark.parametrize("target", ["segtune.errors:Nothing", "segtune.nowhere:x", "segtune"])
def test_what_cannot_be_found_is_one_line(target):
    with pytest.raises(SegtuneError, match="cannot be found"):
        resolve(target)
