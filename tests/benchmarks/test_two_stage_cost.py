"""The cost benchmark of two-stage models at toy size, and its plain path against segtune's."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import two_stage_case
import two_stage_cost


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("cost") / "cost.json"
    two_stage_cost.main(["--quick", "--repeats", "1", "--threads", "1", "--json", str(file)])
    return json.loads(file.read_text())


def test_every_part_is_measured_both_ways(report):
    keys = {(row["part"], row["way"], row["classes"]) for row in report["rows"]}
    parts = (*two_stage_cost.PARTS, "with words")
    ways, classes = two_stage_cost.WAYS, two_stage_case.QUICK.vocabularies
    assert keys == {(part, way, k) for part in parts for way in ways for k in classes}
    for row in report["rows"]:
        assert row["seconds"] > 0
        if row["part"] in two_stage_case.QUICK.memory_of and sys.platform == "linux":
            assert row["memory_bytes"] >= 0


def test_both_ways_give_the_same(report):
    equal = [c for c in report["checks"] if "apart" in c["what"] or "labels equal" in c["what"]]
    assert len(equal) == 2 * 6
    assert all(check["is_met"] for check in equal)


def test_exact_savings_are_there_at_any_size(report):
    by_key = {(r["part"], r["way"], r["classes"]): r for r in report["rows"]}
    for classes in two_stage_case.QUICK.vocabularies:
        for part, at_most in (("text", 0.25), ("CLIP", 0.9), ("image", 1.0)):
            ours, plain = (by_key[part, way, classes]["macs"] for way in ("segtune", "plain"))
            assert ours < at_most * plain
    small, large = (by_key["labels", "segtune", k] for k in two_stage_case.QUICK.vocabularies)
    if small["memory_bytes"]:
        assert large["memory_bytes"] < 1.5 * small["memory_bytes"] + 500_000


def test_proposals_run_although_their_masks_are_given():
    case = two_stage_case.make_case(150, two_stage_case.QUICK)
    ran = []
    case.pair.proposals.image_encoder.register_forward_hook(lambda *_: ran.append(True))
    found = case.pair.proposals.propose(case.pixels)
    assert ran
    assert found is case.pair.proposals.given


def test_masks_are_what_the_notes_say():
    case = two_stage_case.make_case(150, two_stage_case.QUICK)
    call = two_stage_cost.calls_of(case)["regions", "segtune"]
    regions = call()
    assert regions.valid.all()
    blank = 1 - regions.masks.mean()
    assert 0.35 < blank < 0.75
    masks = case.pair.proposals.given.mask_logits[0] > 0
    assert len(torch.unique(masks.flatten(1), dim=0)) == len(masks)
