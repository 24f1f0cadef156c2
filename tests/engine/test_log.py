import pytest

from segtune.data.pairs import Pair
from segtune.engine.log import Entry, MiningLog
from segtune.errors import SegtuneError

PAIR = Pair("a.jpg", "a", (4, 5), "04", (0, 1, 2, 3), "dog", "dog", 0, 0.25, "grid")
ENTRIES = [
    Entry(0, 3, 2, (PAIR, PAIR), ("right", None)),
    Entry(1, 0, 0, (), None),
    Entry(2, 1, 1, (PAIR,), ("wrong",)),
]
SETTINGS = {"model": "m", "sizes": (1, 2)}


def write(path, entries=ENTRIES, settings=SETTINGS):
    with MiningLog(path, settings) as log:
        for entry in entries:
            log.append(entry)
    return path.read_bytes()


def test_entries_come_back(tmp_path):
    path = tmp_path / "new" / "log"
    write(path)
    with MiningLog(path, SETTINGS) as log:
        assert log.num_done == 3
        assert list(log) == ENTRIES


def test_a_log_cut_anywhere_goes_on_to_the_same_bytes(tmp_path):
    path = tmp_path / "log"
    whole = write(path)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with MiningLog(path, SETTINGS) as log:
            assert list(log) == ENTRIES[: log.num_done]
            for entry in ENTRIES[log.num_done :]:
                log.append(entry)
        assert path.read_bytes() == whole


def test_other_settings_are_named(tmp_path):
    path = tmp_path / "log"
    write(path)
    with pytest.raises(SegtuneError, match=r"unfinished run with other settings \(model\)"):
        MiningLog(path, {"model": "n", "sizes": [1, 2]})


@pytest.mark.parametrize("content", ["noise\n", "[1]\n", "3\n"])
def test_another_file_is_not_touched(tmp_path, content):
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(SegtuneError, match="no log of mining; move it away"):
        MiningLog(path, SETTINGS)
    assert path.read_text() == content
