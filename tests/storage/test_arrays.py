import io
import pickle
import zipfile

import numpy as np
import pytest

from segtune.errors import DataError
from segtune.storage.arrays import read_npy, read_npz


def test_arrays_come_back(tmp_path):
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros((0, 3), bool),
        np.array(5, np.int16),
        np.array(["a", "bc"]),
    ):
        np.save(tmp_path / "a.npy", array)
        assert np.array_equal(read_npy(tmp_path / "a.npy"), array)
        assert read_npy(tmp_path / "a.npy").dtype == array.dtype
    np.save(tmp_path / "a.npy", np.arange(5))
    mapped = read_npy(tmp_path / "a.npy", memory_map=True)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_come_back(tmp_path, save):
    save(tmp_path / "a.npz", counts=np.zeros((300, 300), np.int64), b=np.arange(3))
    arrays = read_npz(tmp_path / "a.npz")
    assert arrays.keys() == {"counts", "b"}
    assert arrays["counts"].shape == (300, 300)
    assert arrays["b"].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "absent.npz")


def _header(shape, dtype="<f8"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "damaged"),
        (b"hello", "damaged"),
        (b"\x93NUMPY\x09\x00", "damaged"),
        (_header("(2,)") + bytes(8), "asks for"),
        (_header("(2,)") + bytes(24), "asks for"),
        (_header("(1000000000000,)") + bytes(8), "asks for"),
        (_header("(-1,)") + bytes(8), "damaged"),
        (_header("(True, 1)") + bytes(8), "damaged"),
        (_header("(1, 'a')") + bytes(8), "damaged"),
        (_header("(" * 5000 + ")" * 5000) + bytes(8), "damaged"),
        (_header("(1,)", dtype="|O") + pickle.dumps([1]), "Python objects"),
    ],
)
def test_arrays_that_do_not_fit_their_file(tmp_path, content, match):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=match) as error:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(error.value)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", content)
    with pytest.raises(DataError, match=match):
        read_npz(tmp_path / "a.npz")


def test_pickles_in_arrays_do_not_run(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="Python objects, which are never loaded"):
        read_npy(tmp_path / "a.npy")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    array = io.BytesIO()
    np.save(array, np.zeros(1 << 24, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for number in range(17):
            file.writestr(f"{number}.npy", array.getvalue())
    assert (tmp_path / "a.npz").stat().st_size < 3 << 20
    with pytest.raises(DataError, match="would unpack to 272 MiB; nothing was unpacked"):
        read_npz(tmp_path / "a.npz")


def test_damaged_archives(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", counts=np.arange(100))
    content = (tmp_path / "a.npz").read_bytes()
    for damaged in (b"", b"hello", content[:50], content[:100] + b"xxxx" + content[104:]):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"not a whole \.npz file") as error:
            read_npz(tmp_path / "a.npz")
        assert "\n" not in str(error.value)
