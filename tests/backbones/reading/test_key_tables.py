"""Renaming there and back, and strict loading."""

import pytest
import torch
from torch import nn

from segtune.backbones.decoders.keys import FPN
from segtune.backbones.encoders.keys import DAVIT, FOCALNET
from segtune.backbones.reading.key_tables import (
    keys_under,
    load_strictly,
    rename_keys,
    reversed_rules,
)
from segtune.backbones.seem.keys import IGNORED, TEXT
from segtune.errors import WeightsError

ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("keys", "rules", "expected"),
    [
        ([], [(r"a", "b")], []),
        (["a.weight"], [], ["a.weight"]),
        (["a.1.x", "a.12.x"], [(r"^a\.(\d+)\.", r"b.\1.")], ["b.1.x", "b.12.x"]),
        (["a.b"], [(r"^a\.", "c."), (r"^c\.", "d.")], ["d.b"]),  # in order, one after the other
        (["a.b", "x.a.b"], [(r"^a\.", "c.")], ["c.b", "x.a.b"]),
        (["a", "b"], [(r"^a$", None)], ["b"]),
        (["criterion.empty_weight", "dilation_kernel", "w"], IGNORED, ["w"]),
    ],
)
def test_rename_keys(keys, rules, expected):
    assert list(rename_keys(dict.fromkeys(keys, ONE), rules)) == expected


def test_two_keys_of_one_name_are_refused():
    with pytest.raises(WeightsError, match=r"'a\.x' and 'b\.x' both stand for 'c\.x'"):
        rename_keys({"a.x": ONE, "b.x": ONE}, [(r"^[ab]\.", "c.")])


@pytest.mark.parametrize(
    "key",
    [
        "patch_embed.proj.weight",
        "layers.11.blocks.2.modulation.focal_layers.3.0.weight",
        "layers.0.downsample.norm.bias",
        "layers.0.blocks.0.gamma_1",
        "norm3.weight",
    ],
)
def test_tables_lead_back(key):
    renamed = rename_keys({key: ONE}, FOCALNET)
    assert key not in renamed
    assert list(rename_keys(renamed, reversed_rules(FOCALNET))) == [key]


@pytest.mark.parametrize("rules", [FOCALNET, DAVIT, FPN, TEXT, IGNORED])
def test_every_table_can_be_reversed(rules):
    assert len(reversed_rules(rules)) == sum(new is not None for _, new in rules)


def test_a_table_that_loses_a_group_cannot_be_reversed():
    with pytest.raises(ValueError, match="groups differ"):
        reversed_rules([(r"^a\.(\d)\.", "b.")])


def test_keys_under():
    assert keys_under({"a.b": ONE, "ab": ONE, "a.": ONE}, "a.") == {"b": ONE, "": ONE}


def test_strict_loading_copies_and_converts():
    module = nn.Linear(2, 1)
    load_strictly(module, {"weight": torch.ones(1, 2).half(), "bias": torch.zeros(1)}, "file")
    assert module.weight.tolist() == [[1, 1]]
    assert module.weight.dtype == torch.float32


def test_strict_loading_lists_everything():
    state = {"weight": torch.ones(3, 2), "one": ONE, "two": ONE}
    with pytest.raises(WeightsError) as error:
        load_strictly(nn.Linear(2, 1), state, "some file")
    for part in ("some file", "missing bias", "one, two", "weight (3, 2) instead of (1, 2)"):
        assert part in str(error.value)
