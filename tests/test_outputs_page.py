"""The page about outputs: its table is that of the formats, its sink works from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from segtune.export.sinks import SINKS

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "outputs.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.+?)```", PAGE, flags=re.DOTALL)
ENTRY_POINTS = re.findall(r'entry-points\."(.+?)"\]\n(.+?)\n', PAGE)
USE = """
from segtune.cli.main import parser_of
from segtune.export.folder import ResultFolder
from tests.export.results import IMAGE, WORDS, answer

help_text = " ".join(parser_of("segment").format_help().split())
assert "overlay, png, coco, panoptic, labelme," in help_text
assert ", tally;" in help_text
options = parser_of("segment").parse_args(["a.png", "--format", "tally"])
with ResultFolder("out", WORDS, formats=options.formats) as folder:
    folder.add("a", IMAGE, answer())
answer(last=0).save("b.txt", format="tally")
"""


def test_the_table_is_that_of_the_formats():
    rows = re.findall(r"^\| `([\w-]+)` \| `([^`]+)`, (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
    assert [row[0] for row in rows] == list(SINKS)
    for name, files, writes, tasks in rows:
        assert SINKS[name].files == files
        assert writes.startswith(SINKS[name].writes)
        assert tasks == ", ".join(SINKS[name].tasks)


def test_a_sink_of_another_package(tmp_path):
    """An installed package, as its folders look, with the code of the page."""
    (tmp_path / "tally.py").write_text(PYTHON[0])
    info = tmp_path / "tally-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tally\nVersion: 1.0\n")
    ((group, line),) = ENTRY_POINTS
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    code = f"import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n{USE}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "out" / "tally.txt").read_text() == "a grass 41\na star 6"
    assert (tmp_path / "b.txt").read_text() == "b grass 40\nb star 7"
