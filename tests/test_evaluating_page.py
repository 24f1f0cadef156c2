"""The page about evaluation: its table is that of the tasks."""

import re
from pathlib import Path

from segtune.eval.judges import JUDGES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "evaluating.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_tasks():
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == list(JUDGES)
    for name, _, needs in rows:
        assert ("label maps" in needs) == (name in ("semantic", "panoptic"))
        assert ("groups" in needs) == ("groups" in JUDGES[name].needs)
