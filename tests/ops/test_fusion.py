import pytest
import torch

from segtune.ops.fusion import (
    clip_probs,
    fuse_objectness,
    fuse_ovseg,
    fuse_simbaseline,
    fuse_zegformer,
    proposal_probs,
    zegformer_clip_probs,
)
from tests.goldens import close, goldens

VALID = torch.tensor([True, False, True, True])


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(4, 6, generator=generator), 3 * torch.randn(3, 5, generator=generator)


def slow_ovseg(class_logits, clip_logits, valid, weight):
    """The formula of the specification, one mask at a time."""
    rows, clip_rows = [], iter(clip_logits)
    for row, is_valid in zip(class_logits, valid, strict=True):
        p = row.softmax(0)[:-1]
        phat = next(clip_rows).softmax(0) if is_valid else torch.ones_like(p)
        rows.append(p ** (1 - weight) * phat**weight)
    return torch.stack(rows)


@pytest.mark.parametrize("weight", [0.3, 0.7, 1.0])
def test_ovseg_equals_the_plain_way(logits, weight):
    fused = fuse_ovseg(*logits, VALID, weight=weight)
    close(fused, slow_ovseg(*logits, VALID, weight))


def test_weight_zero_is_clip_alone_without_empty_masks(logits):
    fused = fuse_ovseg(*logits, VALID, weight=0.0)
    close(fused[VALID], logits[1].softmax(1))
    assert not fused[~VALID].any()


def test_weight_one_is_clip_alone_but_empty_masks_vote_for_everything(logits):
    fused = fuse_ovseg(*logits, VALID, weight=1.0)
    close(fused[VALID], logits[1].softmax(1))
    assert (fused[~VALID] == 1).all()


def test_an_empty_mask_votes_more_than_it_would_with_clip(logits):
    everything = fuse_ovseg(*logits, VALID, weight=0.7)[1]
    p = proposal_probs(logits[0])[1]
    close(everything, p**0.3)
    assert (everything > p).all()


def test_seen_classes_swap_the_weights(logits):
    seen = torch.tensor([True, False, False, True, False])
    fused = fuse_simbaseline(*logits, VALID, weight=0.8, seen=seen)
    close(fused[:, ~seen], fuse_ovseg(*logits, VALID, weight=0.8)[:, ~seen])
    close(fused[:, seen], fuse_ovseg(*logits, VALID, weight=1 - 0.8)[:, seen])
    for nobody in (None, torch.zeros(5, dtype=torch.bool)):
        close(
            fuse_simbaseline(*logits, VALID, weight=0.8, seen=nobody),
            fuse_ovseg(*logits, VALID, weight=0.8),
        )


def test_zegformer_borrows_the_no_object_logit(logits):
    class_logits, clip_logits = logits[0], torch.cat([logits[1], logits[1][:1]])
    phat = zegformer_clip_probs(class_logits, clip_logits)
    rest = 1 - phat.sum(1)
    both = torch.cat([clip_logits, class_logits[:, -1:]], 1)
    close(rest, both.softmax(1)[:, -1])
    close(fuse_zegformer(class_logits, clip_logits, weight=1.0), phat)


def test_zegformer_seen_classes_share_their_mean(logits):
    class_logits, clip_logits = logits[0], torch.cat([logits[1], logits[1][:1]])
    seen = torch.tensor([True, True, False, False, True])
    fused = fuse_zegformer(class_logits, clip_logits, seen=seen)
    p, phat = proposal_probs(class_logits), zegformer_clip_probs(class_logits, clip_logits)
    close(
        fused[:, seen] / p[:, seen] ** (2 / 3),
        phat[:, seen].mean(1)[:, None].expand(-1, 3).pow(1 / 3),
    )
    close(fused[:, ~seen], fuse_zegformer(class_logits, clip_logits)[:, ~seen])


def test_objectness_stands_in_for_the_words_of_the_proposals(logits):
    objectness = torch.tensor([0.9, 1.0, 0.0, 0.25])
    fused = fuse_objectness(objectness, logits[1], VALID, weight=0.5)
    phat = logits[1].softmax(1)
    close(fused[0], (0.9 * phat[0]).sqrt())
    close(fused[3], (0.25 * phat[2]).sqrt())
    assert not fused[1].any()
    assert not fused[2].any()
    close(fuse_objectness(None, logits[1], VALID, weight=1.0)[VALID], phat)
    close(fuse_objectness(objectness, logits[1], VALID, weight=0.0)[VALID], phat)


def test_no_valid_mask_and_half_precision(logits):
    nothing = torch.zeros(4, dtype=torch.bool)
    fused = fuse_ovseg(logits[0].half(), logits[1][:0].half(), nothing, weight=0.7)
    assert fused.dtype == torch.float32
    assert fused.shape == (4, 5)
    assert clip_probs(logits[1][:0], nothing, invalid=0.0).sum() == 0


def test_permuting_masks_permutes_scores(logits):
    order = torch.tensor([2, 0, 3, 1])
    fused = fuse_ovseg(*logits, VALID, weight=0.7)
    permuted = fuse_ovseg(logits[0][order], logits[1][[1, 0, 2]], VALID[order], weight=0.7)
    close(permuted, fused[order])


@pytest.mark.golden
def test_simbaseline_golden():
    for golden in goldens("simbaseline_two_stage"):
        valid, seen = golden["in.valid"].bool(), golden["in.seen_flag"].bool()
        clip_logits = golden["in.clip_logits_with_noobject"][:, :-1]
        masks = golden["in.mask_logits"].sigmoid()

        def scores(weight, seen=None, golden=golden, clip_logits=clip_logits, valid=valid):
            class_logits = golden["in.maskformer_logits"]
            return fuse_simbaseline(class_logits, clip_logits, valid, weight=weight, seen=seen)

        cases = {"clip_only": scores(0.0)}
        for weight in golden.metadata["lambdas"]:
            cases[f"with_flag.lambda{weight}"] = scores(weight, seen)
            cases[f"no_flag.lambda{weight}"] = scores(weight)
        expected = golden.part("out.semseg")
        assert set(cases) == set(expected)
        for name, fused in cases.items():
            maps = torch.einsum("qk,qhw->khw", fused, masks)
            close(maps, expected[name])
