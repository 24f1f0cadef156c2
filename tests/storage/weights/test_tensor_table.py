import pytest
import torch

from segtune.errors import WeightsError
from segtune.storage.weights.tensor_table import DTYPES, Storage, TensorTable, View

ONE = ("storage", torch.float32, "0", "cpu", 12)


def _rebuild(table, *arguments, name="_rebuild_tensor_v2"):
    return table.meaning(f"torch._utils.{name}").call(*arguments)


def test_views_show_their_part_of_a_storage():
    table = TensorTable(48)
    storage = table.stored(ONE)
    view = _rebuild(table, storage, 2, (3, 2), (1, 4), True, {})
    numbers = torch.arange(12.0)
    expected = torch.as_strided(numbers, (3, 2), (1, 4), 2)
    assert torch.equal(view.of(numbers.view(torch.uint8)), expected)
    assert table.storages == {"0": Storage("0", torch.float32, 48)}


def test_truth_values_are_0_or_1():
    view = View(Storage("0", torch.bool, 3), torch.bool, 0, (3,), (1,))
    found = view.of(torch.tensor([0, 1, 77], dtype=torch.uint8))
    assert found.tolist() == [False, True, True]
    assert found.view(torch.uint8).tolist() == [0, 1, 1]


def test_storages_of_bytes_get_a_type_later():
    table = TensorTable(8)
    storage = table.stored(
        ("storage", table.meaning("torch.storage.UntypedStorage"), "0", "cpu", 8)
    )
    v3 = "_rebuild_tensor_v3"
    view = _rebuild(table, storage, 1, (3,), (1,), False, {}, torch.uint16, name=v3)
    assert view.dtype == torch.uint16
    with pytest.raises(WeightsError, match="does not fit into its 4 numbers"):
        _rebuild(table, storage, 2, (3,), (1,), False, {}, torch.uint16, name=v3)
    odd = table.stored(("storage", torch.uint8, "1", "cpu", 7))
    with pytest.raises(WeightsError, match="does not fit"):
        _rebuild(table, odd, 0, (1,), (1,), False, {}, torch.uint16, name=v3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_types_of_storages_are_those_of_torch():
    for name, dtype in DTYPES.items():
        storage = getattr(torch, f"{name}Storage")
        assert storage.dtype == dtype
        assert TensorTable(0).meaning(f"torch.{name}Storage") == dtype


@pytest.mark.parametrize(
    "persistent_id",
    [
        ("module", torch.float32, "0", "cpu", 1),
        ("storage", "float", "0", "cpu", 1),
        ("storage", torch.float32, 0, "cpu", 1),
        ("storage", torch.float32, "0", "cpu", -1),
        ("storage", torch.float32, "0", "cpu", True),
        ("storage", torch.float32, "0", "cpu", 1, ("0", 0, 1)),
    ],
)
def test_other_persistent_ids(persistent_id):
    with pytest.raises(WeightsError, match="damaged"):
        TensorTable(100).stored(persistent_id)


def test_only_scripts_have_classes():
    with pytest.raises(WeightsError, match="more than tensors"):
        TensorTable(1).meaning("__torch__.M")
    assert TensorTable(1, is_script=True).meaning("__torch__.M").name == "__torch__.M"
    with pytest.raises(WeightsError, match=r"'builtins\.eval'"):
        TensorTable(1, is_script=True).meaning("builtins.eval")


def test_empty_tensors_may_stand_at_the_end():
    table = TensorTable(48)
    storage = table.stored(ONE)
    assert _rebuild(table, storage, 12, (0, 5), (5, 1), False, {}).shape == (0, 5)
    with pytest.raises(WeightsError, match="does not fit"):
        _rebuild(table, storage, 13, (0, 5), (5, 1), False, {})
