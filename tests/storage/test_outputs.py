import os
from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.storage.outputs import Output, begins, check_folder, check_outputs


def test_a_new_file_is_allowed_and_nothing_is_made(tmp_path: Path) -> None:
    check_outputs([Output(tmp_path / "new" / "a.json")], force=False)
    check_folder(tmp_path / "new", writes=["a"], is_ours=lambda path: False, force=False)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_kept_without_force(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    out.write_text('{"mine": 1}')
    with pytest.raises(SegtuneError, match=r"a.json exists; add --force"):
        check_outputs([Output(out)], force=False)
    with pytest.raises(SegtuneError, match="choose another --json"):
        check_outputs([Output(out, begins(b'{"ours"'), "--json")], force=False)
    check_outputs([Output(out, begins(b'{"mine"'))], force=False)
    check_outputs([Output(out)], force=True)


def test_a_mark_needs_both_its_parts(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    assert not begins(b"")(out)
    out.write_bytes(b"ab cd")
    assert begins(b"x", b"ab", within=b"cd")(out)
    assert not begins(b"ab", within=b"xy")(out)


@pytest.mark.parametrize("force", [False, True])
def test_what_is_read_is_never_replaced(tmp_path: Path, force: bool) -> None:
    read = tmp_path / "a.json"
    read.touch()
    (tmp_path / "link").symlink_to(read)
    for target in (read, tmp_path / "link", tmp_path / "x" / ".." / "a.json"):
        with pytest.raises(SegtuneError, match="is read by this command"):
            check_outputs([Output(target)], force=force, inputs=[read])
    with pytest.raises(SegtuneError, match="is read by this command"):
        check_folder(
            tmp_path, writes=["a.json"], is_ours=lambda path: True, force=force, inputs=[read]
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("folder", "is a folder; give a file name"),
        ("file/a", "file is a file, not a folder"),
        ("dead/a", "is a link to nowhere"),
        ("a\x1bb", "has control characters"),
        ("x" * 250, "is too long"),
        ("..", "is no name"),
    ],
)
def test_places_where_no_file_can_be(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SegtuneError, match=expected):
        check_outputs([Output(tmp_path / name)], force=True)


def test_one_file_for_two_outputs(tmp_path: Path) -> None:
    outputs = [Output(tmp_path / "a", option="--csv"), Output(tmp_path / "a", option="--html")]
    with pytest.raises(SegtuneError, match="written twice; choose another --csv"):
        check_outputs(outputs, force=True)


def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(SegtuneError, match=r"MB left and .* are needed; make room"):
        check_outputs([Output(tmp_path / "a")], force=True, room=2**60)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SegtuneError, match="cannot write into"):
        check_outputs([Output(tmp_path / "a")], force=True)


def test_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").touch()
    with pytest.raises(SegtuneError, match=r"labels/a.png exists and is not of such a run"):
        check_folder(tmp_path, writes=["labels/a.png"], is_ours=lambda p: False, force=False)
    check_folder(tmp_path, writes=["labels/b.png"], is_ours=lambda p: False, force=False)
    check_folder(tmp_path, writes=["labels/a.png"], is_ours=lambda p: True, force=False)
    with pytest.raises(SegtuneError, match="is a file; --out needs"):
        check_folder(tmp_path / "labels/a.png", writes=[], is_ours=lambda p: True, force=True)
