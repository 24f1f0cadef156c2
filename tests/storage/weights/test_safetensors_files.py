import json

import pytest
import torch
from safetensors.torch import save_file

from segtune.errors import WeightsError
from segtune.storage.weights import read_state
from segtune.storage.weights.safetensors_files import ITEM_BYTES, read_header

GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def _write(path, header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_type_of_numbers_is_known(tmp_path):
    dtypes = [
        value
        for value in vars(torch).values()
        if isinstance(value, torch.dtype) and value.itemsize <= 8
    ]
    read = 0
    for dtype in set(dtypes):
        path = tmp_path / "a.safetensors"
        try:
            save_file({"a": torch.zeros(4, dtype=dtype)}, path)
        except (KeyError, RuntimeError, NotImplementedError, TypeError, ValueError):
            continue
        kind = json.loads(path.read_bytes()[8:].split(b"}}")[0] + b"}}")["a"]["dtype"]
        if kind in ITEM_BYTES:
            assert read_header(path) == {}
            assert read_state(path)["a"].dtype == dtype
            read += 1
    assert read >= 12


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"a": GOOD | {"shape": [3]}}, "another length"),
        ({"a": GOOD | {"shape": [1 << 40, 1 << 40]}}, "another length"),
        ({"a": GOOD | {"shape": [0, 1 << 63], "data_offsets": [0, 0]}}, "damaged"),
        ({"a": GOOD | {"shape": [-2]}}, "damaged"),
        ({"a": GOOD | {"shape": [True, 2]}}, "damaged"),
        ({"a": GOOD | {"shape": 2}}, "damaged"),
        ({"a": GOOD | {"dtype": "F7"}}, "type 'F7'"),
        ({"a": GOOD | {"dtype": ["F32"]}}, "of type"),
        ({"a": GOOD | {"data_offsets": [0, 8, 8]}}, "damaged"),
        ({"a": GOOD | {"data_offsets": [8, 0]}}, "another length"),
        ({"a": GOOD | {"data_offsets": [8, 16]}}, "overlap or leave gaps"),
        ({"a": GOOD, "b": GOOD}, "overlap or leave gaps"),
        ({"a": GOOD | {"more": 1}}, "damaged"),
        ({"a": 1}, "damaged"),
        ({}, "take 0 bytes, but 8 are there"),
        ({"a": GOOD, "__metadata__": {"a": 1}}, "damaged"),
        ({"a": GOOD, "__metadata__": []}, "damaged"),
        ([], "damaged"),
        (b'{"a": {}, "a": {}}', "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"", "damaged"),
    ],
)
def test_headers_that_do_not_fit(tmp_path, header, match):
    path = _write(tmp_path / "a.safetensors", header)
    with pytest.raises(WeightsError, match=match) as error:
        read_state(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", b"\xff" * 8, b"\x01" + bytes(7), b"<html></html>"]
)
def test_files_that_are_none(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="truncated or not a safetensors file"):
        read_state(tmp_path / "a.safetensors")


def test_names_from_files_are_shown_without_control_characters(tmp_path):
    path = _write(tmp_path / "a.safetensors", {"\x1b[31m" + "x" * 500: GOOD | {"shape": [3]}})
    with pytest.raises(WeightsError) as error:
        read_state(path)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))
