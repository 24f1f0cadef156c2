import json

from segtune.storage.json_array import JsonArray


def test_entries_come_back_and_an_abort_changes_nothing(tmp_path):
    entries = JsonArray(tmp_path / "sub" / "a.json")
    for number in range(3):
        entries.append({"id": number})
    assert json.loads(entries.close().read_text()) == [{"id": 0}, {"id": 1}, {"id": 2}]
    again = JsonArray(tmp_path / "sub" / "a.json")
    again.append("lost")
    again.abort()
    assert len(json.loads((tmp_path / "sub" / "a.json").read_text())) == 3
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.json"]
