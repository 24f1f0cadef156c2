import pickle
import struct
import time

import pytest

from segtune.errors import WeightsError
from segtune.storage.weights import pickles
from segtune.storage.weights.pickles import Function, PickleReader, ScriptClass, ScriptObject


def _read(data, names=None):
    def meaning(name):
        try:
            return (names or {})[name]
        except KeyError:
            raise WeightsError(f"unknown {name}") from None

    return PickleReader(data, meaning, lambda found: ("stored", found)).read()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        255,
        65_535,
        1 << 31,
        -(1 << 200),
        0.5,
        float("inf"),
        "",
        "ä\u20ac\U0001f600",
        (),
        (1,),
        (1, 2, 3, 4),
        [],
        [1, [2, [3]]],
        {},
        {"a": 1, 2: "b", None: {}, 0.5: (), True: []},
        ["same", "same"],
        list(range(3000)),
    ],
)
def test_plain_values_are_those_of_the_unpickler(value):
    assert _read(pickle.dumps(value, protocol=2)) == value


def test_shared_values_stay_shared():
    inner = [1]
    read = _read(pickle.dumps([inner, inner], protocol=2))
    assert read[0] is read[1]


def test_reading_ends_where_the_pickle_ends():
    data = pickle.dumps([1], protocol=2) + pickle.dumps({"a": 2}, protocol=2) + b"rest"
    first = PickleReader(data, str, str)
    assert first.read() == [1]
    second = PickleReader(data, str, str, first.position)
    assert second.read() == {"a": 2}
    assert data[second.position :] == b"rest"


def test_names_mean_what_the_table_says():
    data = b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."
    with pytest.raises(WeightsError, match=r"unknown os\.system"):
        _read(data)
    assert _read(data, {"os.system": Function(lambda text: text * 2)}) == "lsls"


def test_objects_of_scripts_keep_their_state():
    data = b"\x80\x02c__torch__\nM\n)\x81}X\x01\0\0\0aK\x01sb."
    read = _read(data, {"__torch__.M": ScriptClass("__torch__.M")})
    assert read == ScriptObject("__torch__.M", {"a": 1})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x02",
        b".",
        b"\x80\x02K",
        b"\x80\x02(K\x01",
        b"\x80\x02t.",  # no mark
        b"\x80\x02h\x05.",  # nothing under 5
        b"\x80\x02q\x05.",  # nothing to keep
        b"\x80\x02}]X\x01\0\0\0as.",
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02})K\x01s.",  # a tuple as key
        b"\x80\x02}K\x01a.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02K\x01)\x81.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02X\xff\xff\xff\xffa.",
        b"\x80\x02X\x01\0\0\0\xff.",
        b"\x80\x02c" + b"a" * 5000 + b"\n.",
        b"\x80\x02\xff.",
        b"\x80\x02(i" + b"os\nsystem\n.",  # opcodes that torch does not write
        b"\x80\x02\x93.",
        b"\x80\x02\x81.",
    ],
)
def test_what_no_writer_makes(data):
    with pytest.raises(WeightsError, match=r"damaged|too early") as error:
        _read(data)
    assert "\n" not in str(error.value)


def test_other_protocols():
    with pytest.raises(WeightsError, match="protocol 4"):
        _read(pickle.dumps([1], protocol=4))


def test_depth_and_length_are_bounded(monkeypatch):
    with pytest.raises(WeightsError, match="nested too deeply"):
        _read(b"\x80\x02" + b"(" * 1000 + b".")
    monkeypatch.setattr(pickles, "MAX_PICKLE", 1000)
    with pytest.raises(WeightsError, match="longer than"):
        _read(b"\x80\x02" + b"N" * 2000 + b".")


def test_places_to_remember_cost_nothing():
    """Python's own reader takes memory for every place up to the highest number."""
    start = time.perf_counter()
    data = b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", (1 << 32) - 1 - n) for n in range(100))
    assert _read(data + b".") is None
    assert time.perf_counter() - start < 1


def test_lists_in_lists_do_not_grow():
    """Doubling a list thirty times is a few bytes of pickle, and stays a few lists."""
    data = b"\x80\x02]q\x00" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(100))
    assert len(_read(data + b".")) == 2
