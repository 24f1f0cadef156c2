"""Zip archives that would unpack to gigabytes, and lists that lie, are refused unread."""

import struct
import zipfile

import pytest
import torch

from segtune.errors import SegtuneError, WeightsError
from segtune.storage.weights import archives, read_state
from segtune.storage.weights.archives import SLACK, Archive

from .archive_files import rewrite


@pytest.fixture
def nothing_unpacked(monkeypatch):
    """Fails the test where an entry of an archive is unpacked."""

    def block(self, name):
        raise AssertionError(f"{name} was unpacked")

    monkeypatch.setattr(Archive, "block", block)


def test_entries(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/a", b"123" * 1000)
        file.writestr("x/b", b"")
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.names == ("x/a", "x/b")
        assert archive.num_unpacked("x/a") == 3000
        assert archive.num_unpacked("x/c") is None
        assert archive.read("x/a", limit=3000) == b"123" * 1000
        assert archive.block("x/b").shape == (0,)
        with pytest.raises(SegtuneError, match="at most 2999"):
            archive.read("x/a", limit=2999)
        with pytest.raises(SegtuneError, match="has no 'x/c'"):
            archive.read("x/c", limit=1)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, nothing_unpacked):
    bomb = tmp_path / "bomb.pt"
    zeros = bytes(1 << 24)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for number in range(SLACK // len(zeros) + 1):
            file.writestr(f"bomb/data/{number}", zeros)
    assert bomb.stat().st_size < 3 << 20
    with pytest.raises(WeightsError, match="would unpack to 272 MiB; nothing was unpacked"):
        read_state(bomb)


def test_entries_that_share_their_bytes_are_counted_each(tmp_path, nothing_unpacked):
    """The list of an archive may name one place many times: a bomb without compression."""
    path = tmp_path / "overlap.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/0", bytes(1 << 20))
        first = file.filelist[0]
        for number in range(1, 300):
            again = zipfile.ZipInfo(f"x/{number}")
            again.file_size, again.compress_size = first.file_size, first.compress_size
            again.CRC, again.header_offset = first.CRC, first.header_offset
            again.create_version = again.extract_version = 20
            file.filelist.append(again)
            file.NameToInfo[again.filename] = again
            file._didModify = True
    assert path.stat().st_size < 2 << 20
    with pytest.raises(WeightsError, match="would unpack to 300 MiB"):
        read_state(path)


def test_headers_that_claim_gigabytes(tmp_path, nothing_unpacked):
    torch.save({"a": torch.ones(4)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 0xF0000000)
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="would unpack to 3840 MiB"):
        read_state(tmp_path / "a.pt")


def test_an_entry_that_is_shorter_than_its_header_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"1" * 100)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    (tmp_path / "a.zip").write_bytes(content)
    with Archive(tmp_path / "a.zip") as archive, pytest.raises(SegtuneError, match="'a' "):
        archive.block("a")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("x/data.pkl", "x/data.pkl"), ("x/data.pkl", "x/DATA.pkl")])
def test_two_entries_of_one_name(tmp_path, names):
    """Readers disagree about which one counts; torch's ignores the case."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        for name in names:
            file.writestr(name, b"\x80\x02}.")
    with pytest.raises(WeightsError, match="two of its entries have one name"):
        read_state(tmp_path / "a.pt")


def test_names_with_a_hidden_end(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("x/data.pklA", b"\x80\x02}.")
    content = (tmp_path / "a.pt").read_bytes().replace(b"data.pklA", b"data.pkl\0")
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="not plain"):
        read_state(tmp_path / "a.pt")


def test_two_folders(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    rewrite(tmp_path / "a.pt", tmp_path / "b.pt", change={})
    with zipfile.ZipFile(tmp_path / "b.pt", "a") as file:
        file.writestr("other/data.pkl", b"\x80\x02}.")
    with pytest.raises(WeightsError, match="none of torch"):
        read_state(tmp_path / "b.pt")


def test_encrypted_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", b"1" * 100)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for start, flags in ((content.index(b"PK\x03\x04"), 6), (content.rindex(b"PK\x01\x02"), 8)):
        content[start + flags] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with Archive(tmp_path / "a.zip") as archive, pytest.raises(SegtuneError, match="damaged"):
        archive.block("a")


def test_blocks_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "CHUNK", 7)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(range(100)))
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.block("a").tolist() == list(range(100))
