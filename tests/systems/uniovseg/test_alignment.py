"""Matching of masks and entities against the authors' criterion, in its variants."""

import pytest
import torch
import torch.nn.functional as F

from segtune.errors import SegtuneError
from segtune.ops.matched.matching import Match
from segtune.systems.uniovseg.alignment import (
    Confidence,
    GreedyMatcher,
    alignment_loss,
    blended,
    entity_costs,
    match_entities,
    teacher_share,
)
from tests.goldens import close, goldens

COMPONENT = "uniovseg_matching_losses"


@pytest.mark.golden
def test_several_sizes():
    for golden in goldens(COMPONENT, "alignment_multiscale"):
        sizes = golden.config
        images = [golden.part(f"inputs.{b}") for b in range(sizes["B"])]
        costs = [
            entity_costs(given["clip"], given["text"], temperature=sizes["logit_scale"])
            for given in images
        ]
        for b, cost in enumerate(costs):
            close(1 - cost, golden[f"outputs.{b}.probability"])
        for top in sizes["topk"]:
            matches = [match_entities(cost, confidence=Confidence(top=top)) for cost in costs]
            for b, match in enumerate(matches):
                out = golden.part(f"outputs.topk{top}.{b}")
                assert match.query_ids.tolist() == out["row"].tolist()
                assert match.target_ids.tolist() == out["col"].tolist()
            loss = alignment_loss(
                [given["adapted"] for given in images], [given["text"] for given in images], matches
            )
            close(loss, golden[f"outputs.topk{top}.loss"])


@pytest.mark.golden
def test_a_teacher():
    for golden in goldens(COMPONENT, "matching"):
        sizes = golden.config
        steps = {key.split(".")[2] for key in golden.tensors if key.startswith("inputs.align.")}
        for step in sorted(steps):
            before = int(golden[f"inputs.align.{step}.step_before"])
            share = teacher_share(before + 1, sizes["total_step"])
            given = [golden.part(f"inputs.align.{step}.{b}") for b in range(sizes["B"])]
            matches = []
            for b, each in enumerate(given):
                embeds = blended(each["clip"], each["adapted_target"], share)
                out = golden.part(f"outputs.align.{step}.{b}")
                close(embeds @ each["text"].T, out["cosine"])
                cost = entity_costs(embeds[None], each["text"], temperature=sizes["logit_scale"])
                matches.append(match_entities(cost))
                assert matches[-1].query_ids.tolist() == out["row"].tolist()
                assert matches[-1].target_ids.tolist() == out["col"].tolist()
            loss = alignment_loss(
                [each["adapted"] for each in given], [each["text"] for each in given], matches
            )
            close(loss, golden[f"outputs.align.{step}.loss"])


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


def test_one_entity_is_compared_by_cosine():
    torch.manual_seed(0)
    regions, text = unit(2, 7, 8), unit(1, 8)
    cost = entity_costs(regions, text, temperature=100.0)
    torch.testing.assert_close(cost, 1 - (regions @ text.T).mean(0))
    best = (regions @ text.T).mean(0).argmax().item()
    assert match_entities(cost).query_ids.tolist() == [best]


def test_cosine_is_the_paper_and_sizes_are_averaged():
    regions, text = unit(3, 4, 8), unit(5, 8)
    cost = entity_costs(regions, text, temperature=10.0, kind="cosine")
    expected = torch.stack([1 - each @ text.T for each in regions]).mean(0)
    torch.testing.assert_close(cost, expected)
    with pytest.raises(SegtuneError, match="expected softmax or cosine"):
        entity_costs(regions, text, temperature=1.0, kind="dot")


def test_pairs_that_are_not_sure():
    costs = torch.tensor([[0.1, 0.2, 0.9], [0.15, 0.8, 0.9], [0.7, 0.6, 0.95]])
    every = match_entities(costs)
    assert (every.query_ids.tolist(), every.target_ids.tolist()) == ([0, 1, 2], [1, 0, 2])
    mutual = match_entities(costs, confidence=Confidence(mutual=True))
    assert len(mutual.query_ids) == 0
    cosine = 1 - costs
    alike = match_entities(costs, confidence=Confidence(min_cosine=0.5), cosine=cosine)
    assert alike.query_ids.tolist() == [0, 1]
    with pytest.raises(SegtuneError, match="pass cosine="):
        match_entities(costs, confidence=Confidence(min_cosine=0.5))
    with pytest.raises(SegtuneError, match="top=0"):
        Confidence(top=0)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_match(shape):
    match = match_entities(torch.zeros(shape), confidence=Confidence(top=0.5))
    assert len(match.query_ids) == 0
    loss = alignment_loss([torch.zeros(shape[0], 4)], [torch.zeros(shape[1], 4)], [match])
    assert loss.item() == 0
    assert alignment_loss([], [], []).item() == 0


def test_schedules_of_the_teacher():
    for schedule in ("linear", "cosine", "sqrt"):
        shares = [teacher_share(step, 10, schedule=schedule) for step in range(12)]
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert shares[10] == shares[11] == pytest.approx(0.5)
    assert teacher_share(5, 10, schedule="cosine") == pytest.approx(0.25)
    with pytest.raises(SegtuneError, match="expected linear, cosine or sqrt"):
        teacher_share(1, 2, schedule="step")


def test_greedy_pairs_are_the_sure_ones():
    matcher = GreedyMatcher(keep=0.5)
    flat, sharp = torch.full((1, 4), 0.25), torch.tensor([[0.97, 0.01, 0.01, 0.01]])
    first = matcher(sharp.repeat(3, 1))
    assert (first.query_ids.tolist(), first.target_ids.tolist()) == ([0, 1, 2], [0, 0, 0])
    limit = matcher.limit
    second = matcher(torch.cat([flat, sharp]))
    assert matcher.limit > limit
    assert 1 in second.query_ids.tolist()
    assert len(matcher(torch.zeros(0, 4)).query_ids) == 0


def test_gradients_reach_matched_regions_only():
    adapted = unit(3, 4).requires_grad_()
    alignment_loss(
        [adapted], [unit(2, 4)], [Match(torch.tensor([1]), torch.tensor([0]))]
    ).backward()
    assert adapted.grad[[0, 2]].abs().max() == 0
    assert adapted.grad[1].abs().max() > 0
