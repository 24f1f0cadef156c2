"""Pickles of arrays are read as data: every protocol, and nothing but arrays."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from segtune.errors import WeightsError
from segtune.storage.weights.numpy_pickles import read_numpy_pickle

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([[0.5, -2.0]], dtype=np.float16),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(5, dtype=">i4"),
    "count": np.array(7, dtype=np.int64),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 3), dtype=np.float32),
}


def written(folder: Path, content: object, protocol: int = 4) -> Path:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [False, True])
def test_arrays_of_every_protocol(tmp_path, protocol, wrap):
    content = {"model": OrderedDict(ARRAYS), "__author__": "somebody", "matching_heuristics": True}
    found = read_numpy_pickle(written(tmp_path, content if wrap else ARRAYS, protocol))
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert found[name].dtype == expected.dtype.newbyteorder("=")
        assert found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


def test_other_entries_than_arrays_are_left_out(tmp_path):
    content = {"a": ARRAYS["half"], "step": 3, "score": np.float32(0.5), "names": ["x", ("y", 2)]}
    for protocol in (2, 5):
        assert list(read_numpy_pickle(written(tmp_path, content, protocol))) == ["a"]


def test_python_2_wrote_bytes_as_short_texts(tmp_path):
    """Protocol 2 with `U` for the numbers, as Caffe2's conversions have it."""
    script = b"\x80\x02}U\x01ac" + b"numpy.core.multiarray\n_reconstruct\n"
    script += b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
    script += b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
    script += b"\xffK\x00tb\x89U\x08" + np.array([1.5, -2], "<f4").tobytes() + b"tbs."
    path = tmp_path / "old.pkl"
    path.write_bytes(script)
    np.testing.assert_array_equal(read_numpy_pickle(path)["a"], np.array([1.5, -2], np.float32))


class Evil:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "content",
    [
        Evil(os.system, "touch HERE"),
        {"a": ARRAYS["half"], "b": Evil(exec, "open('HERE', 'w')")},
        {"a": Evil(np.load, "HERE", None, True)},
        {"a": Evil(getattr, ARRAYS["half"], "tofile")},
        Path("HERE"),
        {"a": ARRAYS["half"], "b": {1, 2}},
    ],
)
def test_programs_are_not_run(tmp_path, monkeypatch, content, protocol):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, content, protocol)
    with pytest.raises(WeightsError, match=r"which is no array|is damaged"):
        read_numpy_pickle(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list, not arrays by name"),
        ({"a": 1}, "holds no arrays by name"),
        ({}, "holds no arrays by name"),
        ({3: ARRAYS["half"]}, "holds no arrays by name"),
        ({"a": np.array([None, "x"])}, "holds Python objects"),
        ({"a": np.array(["text"])}, "not of numbers"),
        ({"a": np.zeros(2, dtype=[("x", "f4")])}, "not of numbers|arrays of records"),
        ({"a": np.array(["2020-01-01"], dtype="M8[D]")}, "not of numbers|is damaged"),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content, reason):
    with pytest.raises(WeightsError, match=reason):
        read_numpy_pickle(written(tmp_path, content))


def test_missing_empty_and_other_protocols(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_numpy_pickle(tmp_path / "none.pkl")
    (tmp_path / "empty.pkl").touch()
    with pytest.raises(WeightsError, match="is empty"):
        read_numpy_pickle(tmp_path / "empty.pkl")
    with pytest.raises(WeightsError, match="is damaged"):
        read_numpy_pickle(written(tmp_path, ARRAYS, 0))
    (tmp_path / "next.pkl").write_bytes(b"\x80\x06.")
    with pytest.raises(WeightsError, match="protocol 6, expected 2 to 5"):
        read_numpy_pickle(tmp_path / "next.pkl")


@pytest.mark.parametrize("protocol", [2, 5])
def test_truncated_and_changed_bytes_never_crash(tmp_path, protocol):
    whole = pickle.dumps({"model": ARRAYS}, protocol)
    path = tmp_path / "damaged.pkl"
    for end in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(WeightsError):
            read_numpy_pickle(path)
    generator = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            changed[place] = generator.integers(0, 256)
        path.write_bytes(changed)
        with suppress(WeightsError):
            read_numpy_pickle(path)


def test_one_stored_array_cannot_fill_the_memory_many_times(tmp_path):
    """Bytes that are written once, made into an array a thousand times over."""
    numbers = bytes(8 * 300 * 300)
    script = b"\x80\x04B" + len(numbers).to_bytes(4, "little") + numbers + b"\x94}\x94"
    # dtype("f8"), as it is pickled, and a frame of an array that is stored column by column.
    kind = (
        b"cnumpy\ndtype\n\x8c\x02f8\x85R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01M\x2c\x01M\x2c\x01\x86"
        + kind
        + b"\x88h\x00tb"
    )
    path = tmp_path / "bomb.pkl"
    for count in (1, 1000):
        items = [b"\x8c\x04%04d" % number + array + b"s" for number in range(count)]
        path.write_bytes(script + b"".join(items) + b".")
        if count == 1:
            assert read_numpy_pickle(path)["0000"].shape == (300, 300)
    with pytest.raises(WeightsError, match="far more memory than the file has bytes"):
        read_numpy_pickle(path)
