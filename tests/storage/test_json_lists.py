"""Long lists in one JSON file, without holding them."""

import json
import tracemalloc

import pytest

from segtune.errors import DataError
from segtune.storage.json_lists import JsonLists


def test_the_file_is_what_json_writes(tmp_path):
    images = [{"id": 1, "name": "Straße"}, {"id": "b", "size": [3, 4.5]}]
    path = tmp_path / "new" / "a.json"
    lists = JsonLists(path, ("images", "annotations"))
    for image in images:
        lists.append("images", image)
    assert lists.counts == {"images": 2, "annotations": 0}
    assert not path.exists()
    assert lists.close(categories=[{"id": 1}], info={}) == path
    content = {"images": images, "annotations": [], "categories": [{"id": 1}], "info": {}}
    assert path.read_text() == json.dumps(content)
    assert list(path.parent.iterdir()) == [path]


def test_memory_does_not_grow_with_the_entries(tmp_path):
    entry = {"counts": "x" * 1000}

    def peak(count):
        tracemalloc.start()
        lists = JsonLists(tmp_path / f"{count}.json", ("annotations",))
        for _ in range(count):
            lists.append("annotations", entry)
        lists.close()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(10)
    assert peak(3000) < peak(300) + 300_000  # of 3 MB that were written


def test_an_old_file_stays_until_the_end_and_after_an_abort(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    lists = JsonLists(path, ("images",))
    lists.append("images", {"id": 1})
    assert path.read_text() == "old"
    lists.abort()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"cannot write .*: it is a folder"):
        JsonLists(tmp_path, ("images",))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        JsonLists(tmp_path / "file" / "a.json", ("images",))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    lists = JsonLists(tmp_path / "a.json", ("images",))

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setitem(lists._parts, "images", Full())
    with pytest.raises(DataError, match=r"a\.json: No space left on device; nothing was changed"):
        lists.append("images", {})
