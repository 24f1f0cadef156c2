import re
import subprocess
import sys
from pathlib import Path

import pytest

from segtune.errors import DataError
from segtune.storage.files import atomic_write, temporary_beside


def test_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    for text in ("one", "two"):
        with atomic_write(target) as temporary:
            assert temporary.suffix == ".json"
            assert temporary.parent == target.parent
            temporary.write_text(text)
    assert target.read_text() == "two"
    assert list(target.parent.iterdir()) == [target]


def test_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"cannot write .*a.txt: No space left"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_other_errors_pass_through_and_clean_up(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyError("bug")

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_folder_or_a_file_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is a folder"), atomic_write(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), atomic_write(tmp_path / "file" / "a"):
        pass


KILLED = """
import os, signal, sys
from segtune.storage.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".a.")
    foreign = tmp_path / ".a.b-1-c.txt"  # not a name of ours
    elsewhere = left.with_name(re.sub(r"\.[0-9a-f]{8}-", ".00000000-", left.name))
    mine = temporary_beside(out)  # of a process that is alive
    for file in (foreign, elsewhere, mine):
        file.touch()
    with atomic_write(out) as temporary:
        temporary.write_text("whole")
    assert set(tmp_path.iterdir()) == {out, foreign, elsewhere, mine}
