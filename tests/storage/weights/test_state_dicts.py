"""State dicts with NaN, with infinity, and with prefixes before all keys."""

import pytest
import torch
from safetensors.torch import save_file

from segtune.backbones.reading.key_tables import load_strictly
from segtune.errors import WeightsError
from segtune.storage.weights import read_state
from segtune.storage.weights.state_dicts import check_finite, matched, some, without_wrapper


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_one_bad_number_is_found(tmp_path, value, dtype, suffix):
    tensors = {f"layer{i}.weight": torch.randn(30, 40).to(dtype) for i in range(12)}
    tensors["layer7.weight"][29, 39] = value
    file = tmp_path / f"a{suffix}"
    save_file(tensors, file) if suffix == ".safetensors" else torch.save(tensors, file)
    with pytest.raises(WeightsError, match=r"NaN or infinity in 1 of 12 tensors: layer7.weight;"):
        read_state(file)


def test_what_is_no_damage():
    check_finite(
        {
            "steps": torch.tensor([1, 2]),
            "empty": torch.zeros(0),
            "large": torch.full((99,), 3e38),
            "text.attn_mask": torch.full((3, 3), -torch.inf).triu(1),
            "is_on": torch.tensor([True]),
        },
        "a.pt",
    )
    with pytest.raises(WeightsError, match=r"text\.attn_mask"):
        check_finite({"text.attn_mask": torch.tensor([torch.nan])}, "a.pt")


def test_few_keys_are_named():
    bad = {f"k{i:02d}": torch.tensor([torch.nan]) for i in range(40)}
    with pytest.raises(WeightsError, match=r"40 of 40 tensors: k00, .*, k04 and 35 more; take"):
        check_finite(bad, "a.pt")
    assert some([]) == ""


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module.model.", "_orig_mod.module.", "net."]
)
def test_prefixes_of_all_keys_are_taken_off(tmp_path, prefix):
    plain = {"conv.weight": torch.ones(2), "head.bias": torch.zeros(1)}
    torch.save({"state_dict": {prefix + key: t for key, t in plain.items()}}, tmp_path / "a.pt")
    assert sorted(read_state(tmp_path / "a.pt")) == sorted(plain)


def test_prefixes_of_some_keys_stay():
    mixed = {"model.a": torch.ones(1), "head": torch.ones(1)}
    assert list(without_wrapper(mixed)) == ["model.a", "head"]
    assert without_wrapper({}) == {}


def test_any_prefix_that_makes_a_model_fit():
    linear = torch.nn.Linear(2, 1)
    wanted = list(linear.state_dict())
    inside = {f"trainer.clip.{key}": t for key, t in linear.state_dict().items()}
    assert list(matched(inside | {"step": torch.ones(1)}, wanted)) == wanted
    part = {"clip.weight": torch.ones(1, 2)}
    assert matched(part, wanted) is part
    target = torch.nn.Linear(2, 1)
    load_strictly(target, inside, "a.pt")
    assert torch.equal(target.weight, linear.weight)


def test_an_error_names_few_keys():
    wide = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(20))
    extra = {f"x{i}": torch.ones(1) for i in range(30)}
    with pytest.raises(WeightsError) as caught:
        load_strictly(wide, extra, "a.pt")
    assert "and 35 more" in str(caught.value)
    assert "and 25 more" in str(caught.value)
    assert len(str(caught.value)) < 300
