"""The benchmark of training steps at toy size: what it builds, what it counts, what it checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from segtune.backbones.seem.model import random_seem
from segtune.vocabulary.builtin import builtin

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import prompt_fit_cases as cases
import prompt_fit_cost as cost

TINY = ["--tiny", "--size", "64", "--classes", "5", "--steps", "1"]
SIZES = cost.sizes_from(cost.parse(TINY))
TEXT = SIZES.model.text


@pytest.fixture
def in_this_process(monkeypatch):
    """Measures without starting processes."""

    def measure(what, key, arguments, gradients):
        assert cost.sizes_from(cost.parse(arguments)) == SIZES
        if what == "time":
            return cost.measure_time(key, SIZES, steps=1, at_least=0)
        return cost.measure_memory(key, SIZES, gradients)

    monkeypatch.setattr(cost, "run_child", measure)
    monkeypatch.setattr(cost, "peak_growth", lambda call: (call(), 1_000_000)[1])


def test_one_table_and_one_file(in_this_process, tmp_path, capsys):
    cost.main([*TINY, "--json", str(tmp_path / "cost.json")])
    printed = capsys.readouterr().out
    assert "SSPrompt, cached keys/values" in printed
    report = json.loads((tmp_path / "cost.json").read_text())
    assert set(report) == {"notes", "rows", "checks"}
    rows = {row["key"]: row for row in report["rows"]}
    assert list(rows) == list(cost.RECIPES)
    for key, row in rows.items():
        assert set(row) == set(cost.Row.__dataclass_fields__)
        assert row["seconds"] > 0
        assert row["macs"] > 0
        assert (row["cache_bytes"] > 0) == (cost.RECIPES[key].cache != "none")
    equal = [check for check in report["checks"] if "against" in check[0]]
    assert len(equal) == 2 * 3 + 3 * 2
    assert all(is_met for *_, is_met in equal)
    # What a formulation saves shows in the counts.
    order = ["coop_full", "coop_cut", "ssprompt", "ssprompt_cached", "ssprompt_keys"]
    macs = [rows[key]["macs"] for key in [*order, "semprompt_cached"]]
    assert macs == sorted(macs, reverse=True)
    assert rows["ssprompt_keys"]["cache_bytes"] > rows["ssprompt_cached"]["cache_bytes"]
    learned = {key: row["trainable"] for key, row in rows.items()}
    assert learned["coop_full"] == learned["coop_cut"] == 16 * TEXT.width
    assert learned["semprompt"] == 5 * (TEXT.joint_width + 1)
    assert learned["ssprompt"] == 5 * (TEXT.joint_width + 1) + SIZES.model.num_queries * (
        SIZES.model.hidden + 1
    )


def test_a_difference_stops_the_run(in_this_process, monkeypatch, capsys):
    monkeypatch.setattr(cost, "apart", lambda *_: 1.0)
    rows = ["--rows", "semprompt", "semprompt_cached"]
    with pytest.raises(SystemExit, match="do not"):
        cost.main([*TINY, *rows])
    assert "1 (<= 1e-05) NOT MET" in capsys.readouterr().out


def test_every_learned_tensor_has_a_gradient():
    for recipe in cost.RECIPES.values():
        case = cases.make_case(recipe, SIZES)
        assert cases.step(case) > 0
        gradients = case.gradients()
        assert set(gradients) == {name for name, _ in case.system.prompts.named_parameters()}
        assert all(gradient.abs().max() > 0 for gradient in gradients.values())
        frozen = case.system.backbone.parameters()
        assert all(parameter.grad is None for parameter in frozen)


def test_a_step_from_the_cache_runs_no_image_side_and_no_text():
    case = cases.make_case(cost.RECIPES["ssprompt_keys"], SIZES)
    seem = case.system.backbone
    calls = []
    for part in (seem.image_encoder, seem.pixel_decoder, seem.text.transformer.encoder):
        part.register_forward_hook(lambda *_: calls.append(1))
    seem.decoder.with_keys = seem.decoder.prepare = None
    cases.step(case)
    assert not calls
    features, _ = case.batch()
    layers = len(seem.decoder.layers)
    assert {f"{name}_{layers - 1}" for name in ("keys", "values")} <= set(features.tensors)


def test_full_length_text_is_the_same_text_and_as_long_as_it_says():
    seem = random_seem(SIZES.model)
    full = cases.full_length(seem)
    lengths = []
    full.transformer.encoder.register_forward_hook(
        lambda _, __, inputs, ___: lengths.append(inputs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    start, end = TEXT.vocab_size - 2, TEXT.vocab_size - 1
    tokens = torch.tensor([[start, 5, 6, end], [start, 7, end, end], [start, end, end, end]])
    torch.testing.assert_close(full.encode_text(tokens), seem.encode_text(tokens))
    assert lengths == [77]


def test_names_are_one_to_four_tokens_long():
    tokenizer = cases.WordTokenizer(49408)
    lengths = [len(tokenizer(name)["input_ids"]) - 2 for name in builtin("ade20k_150").names]
    assert min(lengths) == 1
    assert max(lengths) <= 4
    sentence = tokenizer("a photo of a wall.")["input_ids"]
    assert (sentence[0], sentence[-1], len(sentence)) == (49406, 49407, 8)
    assert sentence[1] == sentence[4]
    assert tokenizer("wall")["input_ids"][1] == sentence[5]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": [1.0, 4.0]}, {"a": [1.0, 2.0]}, 1.0),
        ({"a": [1.0], "b": [3.0]}, {"a": [1.0], "b": [4.0]}, 0.25),
        ({"a": [0.0]}, {"a": [0.0]}, float("inf")),  # a gradient that is zero proves nothing
        ({"a": [1.0]}, {"b": [1.0]}, float("inf")),
        ({}, {}, float("inf")),
    ],
)
def test_apart(one, other, expected):
    tensors = ({name: torch.tensor(x) for name, x in each.items()} for each in (one, other))
    assert cost.apart(*tensors) == expected


def test_bad_options(capsys):
    for wrong in (["--classes", "151"], ["--classes", "0"], ["--size", "31"], ["--steps", "0"]):
        with pytest.raises(SystemExit):
            cost.parse(wrong)
        assert "expected --classes 1..150" in capsys.readouterr().err
    assert cost.sizes_from(cost.parse([])).image == (512, 688)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["time", "memory"])
def test_a_fresh_process_measures_the_same_step(what, tmp_path):
    measured = cost.run_child(what, "semprompt_cached", TINY, tmp_path / "gradients.safetensors")
    if what == "time":
        assert measured["seconds"] > 0
    else:
        here = cost.measure_memory("semprompt_cached", SIZES, tmp_path / "here.safetensors")
        assert measured["loss"] == pytest.approx(here["loss"], abs=1e-5)
