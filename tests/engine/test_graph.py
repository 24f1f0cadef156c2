"""Graphs: what hangs together, and what the key of a shard depends on."""

from __future__ import annotations

import pytest

from segtune.engine.graph import Graph, Stage, Whole, shard_keys
from segtune.errors import SegtuneError


def stage(name: str, reads: tuple[str, ...], writes: str, **more) -> Stage:
    return Stage(name, reads, {writes: "int"}, list, **more)


def graph(**settings) -> Graph:
    """a ─ b ─┤ t ├─ d, and c beside them."""
    return Graph(
        "g",
        {"x": "int"},
        (
            stage("a", ("x",), "a", settings=settings.get("a", {})),
            stage("b", ("a",), "b", settings=settings.get("b", {})),
            Whole("t", ("b",), {"v": "int"}, list, settings.get("t", {})),
            stage("c", ("x",), "c", settings=settings.get("c", {})),
            stage("d", ("c",), "d", table="t", settings=settings.get("d", {})),
        ),
    )


def test_phases_are_divided_by_what_waits_for_all_shards():
    phases = [(w and w.name, [s.name for s in stages]) for w, stages in graph().phases()]
    assert phases == [(None, ["a", "b"]), ("t", ["c", "d"])]
    assert graph().before(graph().steps[1]) == ("a",)
    assert graph().writer_of("x") is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("a", {"a", "b", "t", "d"}),
        ("b", {"b", "t", "d"}),
        ("t", {"t", "d"}),
        ("c", {"c", "d"}),
        ("d", {"d"}),
    ],
)
def test_a_setting_changes_the_keys_after_it_and_no_others(changed, expected):
    def named(which):
        keys, tables = shard_keys(which, ["s0", "s1"])
        return keys | tables

    before, after = named(graph()), named(graph(**{changed: {"lr": 2}}))
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_changed_shard_changes_its_own_keys_and_what_waits_for_all():
    before, tables = shard_keys(graph(), ["s0", "s1"])
    after, other = shard_keys(graph(), ["s0", "new"])
    for name in ("a", "b", "c"):
        assert before[name][0] == after[name][0]
        assert before[name][1] != after[name][1]
    assert tables["t"] != other["t"]
    assert before["d"][0] != after["d"][0]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((stage("a", ("y",), "a"),), "a reads y, which is nowhere"),
        ((stage("a", (), "x"),), "a writes x a second time"),
        ((stage("a", (), "a"), stage("a", (), "b")), "two steps have one name"),
        ((stage("a", (), "a", table="t"),), "a needs t before it"),
    ],
)
def test_what_does_not_hang_together_is_refused(steps, said):
    with pytest.raises(SegtuneError, match=said):
        Graph("g", {"x": "int"}, steps)
