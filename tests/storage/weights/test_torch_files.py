"""Lists of tensors that are not true: nothing beyond the file is ever shown as a tensor."""

import struct

import pytest
import torch

from segtune.errors import WeightsError
from segtune.storage.weights import read_state

from .archive_files import rewrite

SHAPE = b"K\x04K\x03\x86"
"""(4, 3) in the pickle of a (4, 3) tensor."""
STRIDE = b"K\x03K\x01\x86"


@pytest.fixture
def file(tmp_path):
    torch.save({"a": torch.randn(4, 3)}, tmp_path / "a.pt")
    return tmp_path / "a.pt"


def _refused(file, old, new, match):
    def changed(content):
        assert old in content
        return content.replace(old, new)

    path = rewrite(file, file.with_name("changed.pt"), change={"data.pkl": changed})
    with pytest.raises(WeightsError, match=match) as error:
        read_state(path)
    assert "\n" not in str(error.value)


def _int(value):
    return b"J" + struct.pack("<i", value)


HUGE = b"\x8a\x09" + (1 << 62).to_bytes(9, "little")
"""2^62 in a pickle."""


def test_more_numbers_than_the_file_has(file):
    for length in (_int(1 << 30), HUGE, b"K\x0d", b"K\x0b"):
        _refused(file, b"K\x0ct", length + b"t", "missing or of another length|does not fit")


@pytest.mark.parametrize(
    "shape",
    [_int(1 << 30) + b"K\x03\x86", HUGE + b"K\x03\x86", b"K\x05K\x03\x86", b"K\x0dK\x01\x86"],
)
def test_shapes_beyond_the_storage(file, shape):
    _refused(file, SHAPE, shape, "does not fit into its 12 numbers")


@pytest.mark.parametrize(
    "stride", [b"K\x04K\x01\x86", _int(1 << 30) + b"K\x01\x86", HUGE + HUGE + b"\x86"]
)
def test_strides_beyond_the_storage(file, stride):
    _refused(file, STRIDE, stride, "does not fit into its 12 numbers")


def test_views_larger_than_their_storage(file):
    """Strides of 0 show one number many times: a few bytes would become gigabytes when copied."""
    path = rewrite(
        file,
        file.with_name("changed.pt"),
        change={
            "data.pkl": lambda c: c.replace(SHAPE, _int(1 << 30) + _int(1 << 20) + b"\x86").replace(
                STRIDE, b"K\x00K\x00\x86"
            )
        },
    )
    with pytest.raises(WeightsError, match="1073741824x1048576 does not fit"):
        read_state(path)


@pytest.mark.parametrize(
    "shape",
    [_int(-1) + b"K\x03\x86", b"\x88K\x03\x86", b"NK\x03\x86", b"K\x0c\x85", b"X\x01\0\0\0a"],
)
def test_shapes_that_are_none(file, shape):
    _refused(file, SHAPE, shape, "damaged")


def test_offsets_beyond_the_storage(file):
    _refused(file, b"QK\x00", b"QK\x01", "does not fit")


def test_many_tensors_of_one_storage(tmp_path, monkeypatch):
    """A thousand views of a storage become a thousand copies when they are converted."""
    block = torch.randn(1 << 16)
    torch.save({str(number): block[number:] for number in range(1000)}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match="far more than the file holds"):
        read_state(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("zipped", [True, False])
def test_sparse_and_quantised_tensors_are_refused(tmp_path, zipped):
    sparse = torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.ones(1), (1 << 30, 1 << 30))
    quantised = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    for value in (sparse, quantised, torch.ones(2, device="meta")):
        torch.save({"a": value}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match="more than tensors and plain values"):
            read_state(tmp_path / "a.pt")


def test_the_same_storage_with_two_lengths(file):
    def twice(content):
        tensor = content[content.index(b"ctorch._utils") : content.index(b"s.")]
        other = tensor.replace(b"K\x0ct", b"K\x0bt")
        return content[:-2] + b"sX\x01\0\0\0b" + other + b"s."

    path = rewrite(file, file.with_name("changed.pt"), change={"data.pkl": twice})
    with pytest.raises(WeightsError, match="damaged"):
        read_state(path)


def test_big_endian_files(file):
    path = rewrite(file, file.with_name("big.pt"), change={"byteorder": lambda c: b"big"})
    with pytest.raises(WeightsError, match="big-endian"):
        read_state(path)


def test_streams_with_other_lengths(tmp_path):
    torch.save({"a": torch.randn(4, 3)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pt").read_bytes()
    for old, new in (
        (b"K\x0cN", _int(1 << 30) + b"N"),  # in the list
        (struct.pack("<q", 12), struct.pack("<q", 1 << 40)),  # before the numbers
        (b"little_endianq\x02\x88", b"little_endianq\x02\x89"),
    ):
        assert old in content
        (tmp_path / "b.pt").write_bytes(content.replace(old, new))
        with pytest.raises(WeightsError, match=r"too early|damaged|big-endian"):
            read_state(tmp_path / "b.pt")
