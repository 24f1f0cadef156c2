import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.storage.locks import locked

pytest.importorskip("fcntl")

HOLD = """
import sys, time
from segtune.storage.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(SegtuneError, match=r"another run is writing .*a\.safetensors"),
            locked(out),
        ):
            pass
        os.kill(first.pid, signal.SIGKILL)
    with locked(out):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_outputs_are_free_and_nothing_is_left(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "a"), locked(tmp_path / "new" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_results_stays(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "a"):
        (tmp_path / "new" / "a").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_two_names_of_one_output(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with locked(tmp_path / "a"), pytest.raises(SegtuneError), locked(tmp_path / "link"):
        pass
