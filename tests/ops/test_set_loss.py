from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.mask_targets import MaskTargets, targets_from_instances, targets_from_semantic
from segtune.ops.matched.matching import assign, match_costs
from segtune.ops.matched.point_sampling import sample_points
from segtune.ops.set_loss import MASKFORMER, LossPoints, SetLossConfig, SetPrediction, set_loss
from segtune.types import IGNORE, Instance
from tests.goldens import close, goldens

SMALL = SetLossConfig(num_points=64)
DENSE = SetLossConfig(dense=True)


def _head(*, num_queries: int = 6, seed: int = 0) -> SetPrediction:
    """Two images, four classes, masks of 8 x 10."""
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(2, num_queries, 5, generator=generator)
    mask_logits = 3 * torch.randn(2, num_queries, 8, 10, generator=generator)
    return SetPrediction(class_logits.requires_grad_(), mask_logits.requires_grad_())


def _targets(*counts: int, size: tuple[int, int] = (32, 40)) -> list[MaskTargets]:
    generator = torch.Generator().manual_seed(7)
    return [
        MaskTargets(
            torch.randint(0, 4, (count,), generator=generator),
            torch.rand(count, *size, generator=generator) > 0.5,
        )
        for count in counts
    ]


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.golden
def test_seem_matches_losses_and_gradients() -> None:
    for golden in goldens("seem_losses"):
        sizes, inputs, expected = golden.config, golden.part("in"), golden.part("out")
        config = SetLossConfig(
            class_weight=sizes["class_weight"],
            mask_weight=sizes["mask_weight"],
            dice_weight=sizes["dice_weight"],
            no_object_weight=sizes["no_object_weight"],
            num_points=sizes["num_points"],
        )
        head = SetPrediction(
            inputs["pred_logits"].requires_grad_(), inputs["pred_masks"].requires_grad_()
        )
        targets = [
            MaskTargets(inputs[f"target_labels{b}"], inputs[f"target_masks{b}"])
            for b in range(len(head.class_logits))
        ]
        points = LossPoints(inputs["matcher_points"], inputs["loss_points"])
        _check_matches(head, targets, points, config, expected, "match_{}{}")
        losses = set_loss([head], targets, config, points=[points])
        close(losses["loss_class"] / config.class_weight, expected["loss_ce"])
        close(losses["loss_mask"] / config.mask_weight, expected["loss_bce"])
        close(losses["loss_dice"] / config.dice_weight, expected["loss_dice"])
        total = sum(losses.values())
        close(total, expected["loss_total"])
        gradients = torch.autograd.grad(total, head)
        close(gradients[0], expected["grad_pred_logits"])
        close(gradients[1], expected["grad_pred_masks"])


@pytest.mark.golden
@pytest.mark.parametrize("component", ["segprompt_losses_single", "segprompt_losses_repeat"])
def test_class_agnostic_branch_of_segprompt_with_deep_supervision(component) -> None:
    for golden in goldens(component):
        sizes, outputs = golden.config, golden.part("out.agnostic")
        weights = sizes["weights"]
        config = SetLossConfig(
            weights["cls"], weights["mask"], weights["dice"], sizes["no_object_weight"]
        )
        steps = sizes["num_predictions"]
        heads = [
            SetPrediction(
                golden["in.agnostic_logits"][step].clone().requires_grad_(),
                golden["in.agnostic_masks"][step].clone().requires_grad_(),
            )
            for step in range(steps)
        ]
        targets = [
            MaskTargets(torch.zeros(len(masks), dtype=torch.int64), masks)
            for masks in (golden[f"in.target_masks.{b}"] for b in range(sizes["batch"]))
        ]
        names = [*map(str, range(steps - 1)), "final"]
        points = []
        for head, name in zip(heads, names, strict=True):
            draws = golden.part(f"rand.agnostic.{name}")
            matching = torch.cat([draws[f"matcher.{b}"] for b in range(sizes["batch"])])
            points.append(LossPoints(matching, outputs[f"{name}.point_coords"]))
            _check_matches(head, targets, points[-1], config, outputs, name + ".match_{}.{}")
        losses = set_loss(heads, targets, config, points=points)
        for suffix in ["", *(f"_{step}" for step in range(steps - 1))]:
            for ours, theirs, weight in [
                ("loss_class", "loss_ce", config.class_weight),
                ("loss_mask", "loss_mask", config.mask_weight),
                ("loss_dice", "loss_dice", config.dice_weight),
            ]:
                close(losses[ours + suffix] / weight, outputs[theirs + suffix].squeeze())
        total = sum(losses.values())
        close(total, outputs["weighted_total"].squeeze())
        total.backward()
        for step in (0, steps - 1):
            close(heads[step].class_logits.grad, outputs[f"grad_logits.{step}"])
            close(heads[step].mask_logits.grad, outputs[f"grad_masks.{step}"])


def _check_matches(
    head: SetPrediction,
    targets: list[MaskTargets],
    points: LossPoints,
    config: SetLossConfig,
    expected: dict[str, Tensor],
    name: str,
) -> None:
    """Asserts the official assignment at the recorded points, where the golden has one."""
    matching = points.matching.expand(len(targets), -1, -1)
    costs = [
        match_costs(
            head.class_logits[b],
            sample_points(head.mask_logits[b], matching[b : b + 1]),
            target.class_ids,
            sample_points(target.masks, matching[b : b + 1]),
            class_weight=config.class_weight,
            mask_weight=config.mask_weight,
            dice_weight=config.dice_weight,
        )
        for b, target in enumerate(targets)
    ]
    for b, found in enumerate(assign(costs)):
        empty = torch.empty(0, dtype=torch.int64)
        assert torch.equal(found.query_ids, expected.get(name.format("query", b), empty))
        assert torch.equal(found.target_ids, expected.get(name.format("target", b), empty))


def test_dense_is_the_mean_over_all_cells() -> None:
    head, targets = _head(), _targets(3, 2)
    losses = set_loss([head], targets, DENSE)
    bce = dice = torch.tensor(0.0)
    labels = torch.full((2, 6), 4)
    for b, target in enumerate(targets):
        cells = F.interpolate(target.masks.float()[None], (8, 10), mode="area")[0]
        costs = match_costs(
            head.class_logits[b], head.mask_logits[b].flatten(1), target.class_ids, cells.flatten(1)
        )
        for q, n in zip(*(ids.tolist() for ids in assign([costs])[0]), strict=True):
            logits, probs = head.mask_logits[b, q], head.mask_logits[b, q].sigmoid()
            bce = bce + F.binary_cross_entropy_with_logits(logits, cells[n])
            dice = (
                dice + 1 - (2 * (probs * cells[n]).sum() + 1) / (probs.sum() + cells[n].sum() + 1)
            )
            labels[b, q] = target.class_ids[n]
    torch.testing.assert_close(losses["loss_mask"], 5 * bce / 5)
    torch.testing.assert_close(losses["loss_dice"], 5 * dice / 5)
    weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.1])
    expected = F.cross_entropy(head.class_logits.mT, labels, weights)
    torch.testing.assert_close(losses["loss_class"], 2 * expected)


def test_many_points_approach_the_dense_loss() -> None:
    head, targets = _head(), _targets(3, 2, size=(8, 10))
    dense = set_loss([head], targets, DENSE)
    uniform = SetLossConfig(num_points=20000, importance=0.0)
    sampled = set_loss([head], targets, uniform, generator=_seeded())
    # bilinear points soften both the logits and the targets, so the two agree only roughly
    for name, loss in dense.items():
        torch.testing.assert_close(sampled[name], loss, rtol=0.5, atol=0.1)


def test_focal_compares_at_the_size_of_the_targets() -> None:
    """MaskFormer: bilinear predictions against whole targets, matched at the predictions' size."""
    head, targets = _head(), _targets(2, 1)
    losses = set_loss([head], targets, MASKFORMER)
    focal, dice = 0.0, 0.0
    for b, target in enumerate(targets):
        small = F.interpolate(target.masks[None].float(), (8, 10), mode="nearest")[0].flatten(1)
        costs = match_costs(
            head.class_logits[b],
            head.mask_logits[b].flatten(1),
            target.class_ids,
            small,
            class_weight=1,
            mask_weight=20,
            dice_weight=1,
            focal=True,
        )
        for q, n in zip(*assign([costs])[0], strict=True):
            large = F.interpolate(head.mask_logits[b, q][None, None], (32, 40), mode="bilinear")
            p, t = large.sigmoid().flatten(), target.masks[n].float().flatten()
            right = torch.where(t > 0, p, 1 - p)
            focal += (-torch.where(t > 0, 0.25, 0.75) * (1 - right) ** 2 * right.log()).mean()
            dice += 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    torch.testing.assert_close(losses["loss_mask"], 20 * focal / 3)
    torch.testing.assert_close(losses["loss_dice"], dice / 3)


def test_focal_at_cells_is_close_to_focal_at_pixels() -> None:
    """Large smooth masks: the cheaper comparison may be used for small models."""
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, :32, 16:48] = True
    logits = F.adaptive_avg_pool2d(masks.float(), 16)[None] * 6 - 3
    head = SetPrediction(torch.zeros(1, 1, 3), logits)
    targets = [MaskTargets(torch.tensor([1]), masks)]
    exact = set_loss([head], targets, MASKFORMER)
    cheap = set_loss([head], targets, replace(MASKFORMER, dense=True))
    assert cheap["loss_dice"].item() == pytest.approx(exact["loss_dice"].item(), abs=0.05)
    assert cheap["loss_mask"].item() == pytest.approx(exact["loss_mask"].item(), abs=0.05)


def test_dense_samples_larger_masks() -> None:
    config = SetLossConfig(num_points=79, dense=True)  # one less than 8 x 10
    head, targets = _head(), _targets(3, 2)
    sampled = set_loss([head], targets, config, generator=_seeded())
    expected = set_loss([head], targets, SetLossConfig(num_points=79), generator=_seeded())
    assert sampled == expected


@pytest.mark.parametrize("config", [SMALL, DENSE, MASKFORMER])
def test_gradients_reach_every_head_and_the_seed_decides(config) -> None:
    heads = [_head(seed=seed) for seed in range(3)]
    targets = _targets(3, 0)
    losses = set_loss(heads, targets, config, generator=_seeded())
    suffixes = ("_0", "_1", "")
    assert list(losses) == [f"loss_{x}{s}" for s in suffixes for x in ("class", "mask", "dice")]
    assert losses == set_loss(heads, targets, config, generator=_seeded())
    sum(losses.values()).backward()
    for head in heads:
        assert head.class_logits.grad.isfinite().all()
        assert head.mask_logits.grad[0].flatten(1).any(1).sum() == 3  # the matched queries
        assert not head.mask_logits.grad[1].any()  # an image without objects


@pytest.mark.parametrize("config", [SMALL, DENSE, MASKFORMER])
def test_no_objects_teach_no_object(config) -> None:
    head = _head()
    losses = set_loss([head], _targets(0, 0), config, generator=_seeded())
    assert losses["loss_mask"] == losses["loss_dice"] == 0
    expected = -config.class_weight * head.class_logits.log_softmax(-1)[..., -1].mean()
    torch.testing.assert_close(losses["loss_class"], expected)
    sum(losses.values()).backward()
    assert not head.mask_logits.grad.any()


@pytest.mark.parametrize("config", [SMALL, DENSE, MASKFORMER])
def test_more_targets_than_queries(config) -> None:
    head = _head(num_queries=2)
    losses = set_loss([head], _targets(5, 4), config, generator=_seeded())
    sum(losses.values()).backward()
    assert head.mask_logits.grad.flatten(2).any(2).all()
    assert losses["loss_dice"] < 5 * 4 / 9  # four pairs, divided by all nine targets


def test_perfect_predictions_cost_almost_nothing() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, -1, 2]], [[2, 2, 2, 2], [2, 2, 2, 2]]])
    targets = targets_from_semantic(labels)
    class_logits, mask_logits = torch.zeros(2, 3, 4), torch.zeros(2, 3, 2, 4)
    class_logits[..., 3] = 30.0
    for b, target in enumerate(targets):
        for n, class_id in enumerate(target.class_ids.tolist()):
            query = 2 - n  # any order
            class_logits[b, query, class_id] = 60.0
            mask_logits[b, query] = 60.0 * target.masks[n].float() - 30
    losses = set_loss([SetPrediction(class_logits, mask_logits)], targets, DENSE)
    assert all(loss < 1e-5 for loss in losses.values())


def test_mixed_precision_is_computed_in_float32() -> None:
    head, targets = _head(), _targets(3, 2)
    plain = set_loss([head], targets, SMALL, generator=_seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert set_loss([head], targets, SMALL, generator=_seeded()) == plain
    half = SetPrediction(head.class_logits.half(), head.mask_logits.half())
    for config in (SMALL, DENSE):
        losses = set_loss([half], targets, config, generator=_seeded())
        assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_the_number_of_targets_is_averaged_over_processes(monkeypatch) -> None:
    head, targets = _head(), _targets(3, 2)
    alone = set_loss([head], targets, DENSE)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.add_(9))  # the other process has 9
    together = set_loss([head], targets, DENSE)
    assert torch.equal(together["loss_class"], alone["loss_class"])
    for name in ("loss_mask", "loss_dice"):
        torch.testing.assert_close(together[name] * 7, alone[name] * 5)


def test_missing_generator_and_bad_input() -> None:
    head = _head()
    with pytest.raises(ValueError, match="no generator"):
        set_loss([head], _targets(1, 1), SMALL)
    mixed = [*_targets(1, size=(8, 8)), *_targets(1, size=(4, 4))]
    with pytest.raises(ValueError, match=r"\(8, 8\), \(4, 4\)"):
        set_loss([head], mixed, DENSE)
    with pytest.raises(ValueError, match="do not belong together"):
        MaskTargets(torch.zeros(2, dtype=torch.int64), torch.zeros(3, 4, 4))
    for wrong in ({"num_points": 0}, {"oversample": 0.5}, {"importance": 1.5}):
        with pytest.raises(ValueError, match="expected num_points"):
            SetLossConfig(**wrong)


def test_targets_from_semantic() -> None:
    labels = torch.tensor([[[2, 2], [0, -1]], [[-1, -2], [-1, -1]]])
    some, none = targets_from_semantic(labels)
    assert some.class_ids.tolist() == [0, 2]
    assert torch.equal(some.masks, torch.stack([labels[0] == 0, labels[0] == 2]))
    assert some.masks.dtype == torch.bool
    assert len(none) == 0
    assert none.masks.shape == (0, 2, 2)


def _instance(class_id: int, *cells: int, is_crowd: bool = False) -> Instance:
    mask = np.zeros((2, 2), dtype=bool)
    mask.flat[list(cells)] = True
    return Instance(class_id, mask, is_crowd)


@pytest.mark.parametrize(
    ("options", "class_ids", "masks"),
    [
        ({}, [4, 1, 4], [[0], [1], [2]]),
        ({"merge_ids": {4}}, [4, 1], [[0, 2], [1]]),
        ({"class_agnostic": True}, [0, 0, 0, 0], [[0], [1], [2], [3]]),
        ({"class_agnostic": True, "merge_ids": {0}}, [0, 0, 0, 0], [[0], [1], [2], [3]]),
    ],
)
def test_targets_from_instances(options, class_ids, masks) -> None:
    objects = [
        _instance(4, 0),
        _instance(1, 1),
        _instance(4, 2),
        _instance(IGNORE, 3),  # unnamed
        _instance(1),  # empty
        _instance(2, 0, 1, is_crowd=True),
    ]
    some, none = targets_from_instances([objects, []], size=(2, 2), **options)
    assert some.class_ids.tolist() == class_ids
    assert [mask.flatten().nonzero()[:, 0].tolist() for mask in some.masks] == masks
    assert none.masks.shape == (0, 2, 2)
    assert none.class_ids.dtype == torch.int64
    assert not objects[0].mask[1, 0]  # merging leaves the annotations as they are
