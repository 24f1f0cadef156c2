"""The cost benchmark at toy size, and its counts against a closed form."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from segtune.backbones.clip.random import random_clip_vit
from segtune.systems.rpn.config import RELEASED, ZEGCLIP
from segtune.systems.rpn.model import PromptedClip

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import common
import rpn_cost
from rpn_released import released_num_trainable

KEYS = [(family, form) for family in rpn_cost.FAMILIES for form in rpn_cost.FORMULATIONS]


def closed_form(family: str, form: str, sizes: rpn_cost.Sizes, classes: int, static: int) -> int:
    """Multiply-adds from pixels to logits, term by term; the letters are those of the paper."""
    tower, is_rpn, is_released = sizes.tower, family == "RPN", form == "released"
    d, k, layers, patch = (tower[key] for key in ("width", "joint_width", "layers", "patch_size"))
    n = (tower["image_size"] // patch) ** 2
    t = 1 + n
    total = n * 3 * patch**2 * d
    for index in range(layers):
        prompts = static + (classes if is_rpn and index > 0 else 0)
        total += 12 * d**2 * t + 2 * t * (t + prompts) * d
        if is_released:  # projection of the prompts, and all of the layer for them
            total += d**2 * prompts + 12 * d**2 * prompts + 2 * prompts * (t + prompts) * d
        else:  # keys and values of the relationship prompts
            total += 2 * d**2 * (prompts - static)
        is_last = index == layers - 1
        if is_rpn or is_last:  # the joint space
            total += (t + prompts * is_released) * d * k
        direct, other = n * classes * (k + d), n * k * d + classes * k * d
        if is_rpn and is_released:
            total += direct
        elif is_rpn and not is_last:
            total += min(direct, other)
    if is_rpn:
        return total + n * k**2 + classes * 3 * k**2 + n * classes * k
    whole = 10 * classes * k**2 + 2 * n * k**2 + 2 * classes * n * k
    last = whole if is_released else classes * k**2 + n * k**2 + classes * n * k
    return total + classes * 2 * k**2 + 2 * whole + last


GMACS = {  # 20, 171 and 847 classes; ZegCLIP's own figures are 110.4 and 123.9
    ("RPN", "released"): (116.3, 150.8, 259.6),
    ("RPN", "segtune"): (113.2, 121.9, 148.9),
    ("ZegCLIP", "released"): (110.6, 124.2, 132.0),
    ("ZegCLIP", "segtune"): (109.1, 112.1, 118.0),
}


@pytest.mark.parametrize("key", GMACS)
def test_closed_form_gives_the_costs_in_the_documentation(key) -> None:
    for (classes, static), expected in zip(rpn_cost.FULL.vocabularies, GMACS[key], strict=True):
        macs = closed_form(*key, rpn_cost.FULL, classes, static)
        assert macs / 1e9 == pytest.approx(expected, abs=0.05)


@pytest.fixture(scope="module")
def clip():
    return random_clip_vit(**rpn_cost.QUICK.tower)


@pytest.mark.parametrize("key", KEYS)
def test_counted_operations_equal_the_closed_form(key, clip) -> None:
    family, form = key
    for classes, static in rpn_cost.QUICK.vocabularies:
        case = rpn_cost.make_case(family, classes, rpn_cost.QUICK, clip)
        run = partial(rpn_cost.FORMULATIONS[form][0], case)
        with torch.no_grad():
            run()  # fills what is computed once
        counted = common.count_macs(run)
        assert counted == closed_form(*key, rpn_cost.QUICK, classes, static)
        with sdpa_kernel(SDPBackend.MATH):  # attention as two plain products
            assert common.count_macs(run) == counted


@torch.no_grad()
def test_both_formulations_agree(clip) -> None:
    for family in rpn_cost.FAMILIES:
        for classes, _ in rpn_cost.QUICK.vocabularies:
            case = rpn_cost.make_case(family, classes, rpn_cost.QUICK, clip)
            plain, fast = (logits(case) for logits, _ in rpn_cost.FORMULATIONS.values())
            torch.testing.assert_close(fast, plain, atol=1e-5, rtol=0)
            plain, fast = (labels(case) for _, labels in rpn_cost.FORMULATIONS.values())
            assert (plain == fast).float().mean() > 0.9999


def test_trainable_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        clip = random_clip_vit(**rpn_cost.FULL.tower)
        for preset, expected in ((RELEASED, 2_524_416), (ZEGCLIP, 13_821_184)):
            assert released_num_trainable(PromptedClip(clip, preset)) == expected


def test_one_table_and_one_file(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(rpn_cost, "in_fresh_process", lambda *_: "1000000")
    rpn_cost.main(["--quick", "--repeats", "1", "--json", str(tmp_path / "cost.json")])
    printed = capsys.readouterr().out
    assert "one multiply-add = 1 MAC" in printed
    assert "RPN segtune" in printed
    report = json.loads((tmp_path / "cost.json").read_text())
    assert len(report["rows"]) == 12
    assert all(row["macs"] > 0 and row["memory_bytes"] == 1_000_000 for row in report["rows"])
    assert {check[0] for check in report["checks"]} >= {"logits apart", "probs apart"}


def test_peak_growth_sees_memory_that_is_gone_again() -> None:
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); import common, torch; "
    code += "print(json.dumps(common.peak_growth(lambda: torch.ones(20_000_000).sum())))"
    folder = str(Path(common.__file__).parent)
    grown = json.loads(common.in_fresh_process("-c", code, folder))
    if grown is None:
        pytest.skip("needs /proc")
    assert 60e6 < grown < 120e6


@pytest.mark.slow
def test_memory_is_measured_in_a_fresh_process() -> None:
    printed = common.in_fresh_process(
        rpn_cost.__file__, "--quick", "--memory-of", "RPN", "segtune", "7"
    )
    assert json.loads(printed) > 0
