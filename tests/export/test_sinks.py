"""The table of formats, and what every sink promises."""

import json
import subprocess
import sys

import pytest

from segtune.export.sinks import SINKS, Format
from tests.export.results import IMAGE, WORDS, answer

TASKS = ("semantic", "instance", "panoptic")


def test_listing_imports_no_array_library():
    code = (
        "import sys; from segtune.export.sinks import SINKS; list(SINKS); "
        "print([name for name in ('numpy', 'torch', 'PIL') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_every_task_has_formats_of_its_own():
    for task in TASKS:
        assert any(task in entry.default_of for entry in SINKS.values())
    for entry in SINKS.values():
        assert set(entry.default_of) <= set(entry.tasks) <= set(TASKS)
    endings = [entry.ending for entry in SINKS.values() if entry.is_for_ending]
    assert len(set(endings)) == len(endings)


def test_where_files_lie():
    assert SINKS["png"].place == "labels"
    assert (SINKS["png"].ending, SINKS["png"].is_per_image) == (".png", True)
    assert SINKS["coco"].place == "instances.json"
    assert (SINKS["coco"].ending, SINKS["coco"].is_per_image) == (".json", False)


@pytest.mark.parametrize("entry", SINKS.values(), ids=SINKS)
def test_what_is_closed_exists_and_what_is_aborted_leaves_no_whole(entry: Format, tmp_path):
    sink = entry.make()
    sink.open(tmp_path / "a" / entry.place, WORDS)
    sink.add("x", IMAGE, answer())
    written = sink.close()
    assert written
    assert all(path.exists() for path in written)
    assert (tmp_path / "a" / entry.files.format(name="x")).is_file()

    sink = entry.make()
    sink.open(tmp_path / "b" / entry.place, WORDS)
    sink.add("x", IMAGE, answer())
    sink.abort()
    for path in (tmp_path / "b").rglob("*.json"):
        json.loads(path.read_text())
    assert not list((tmp_path / "b").rglob(".*"))
    if not entry.is_per_image:
        assert not (tmp_path / "b" / entry.place).exists()
