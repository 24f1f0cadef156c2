"""One whole step of SegPrompt's training, from annotated objects to losses, gradients, cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched import mask_readers, point_sampling
from segtune.systems.segprompt.loss import segprompt_losses
from segtune.systems.segprompt.targets import (
    ClassSets,
    ImageObjects,
    TrainingTargets,
    training_targets,
)
from tests.goldens import ROOT, Golden, close, goldens
from tests.systems.segprompt.test_loss import set_config_of
from tests.systems.segprompt.test_model import config_of, loaded, memory_in

PREDICTOR = "sem_seg_head.predictor."
WAYS = {"": "learned", "2": "prompt", "3_": "example"}


class Replayed:
    """Draws what was recorded."""

    def __init__(self, golden: Golden) -> None:
        self.permutations = self.queue(golden, "rand.perm")
        self.samples = self.queue(golden, "rand.sample")

    @staticmethod
    def queue(golden: Golden, prefix: str) -> list[list[int]]:
        found = golden.part(prefix)
        return [found[name].tolist() for name in sorted(found)]

    def permutation(self, count: int) -> list[int]:
        place = next(i for i, drawn in enumerate(self.permutations) if len(drawn) == count)
        return self.permutations.pop(place)

    def sample(self, population: Sequence[int], count: int) -> list[int]:
        """Returns the next record that fits; classes are counted from 1 there."""
        for place, drawn in enumerate(self.samples):
            for first in (0, 1):
                values = [value - first for value in drawn]
                is_of_classes = len(population) > 100
                fits = len(values) == count and set(values) <= set(population)
                if fits and is_of_classes == bool(first):
                    self.samples.pop(place)
                    return values
        raise AssertionError(f"nothing recorded fits {count} of {len(population)}")


def known_classes() -> frozenset[int]:
    """Returns the 0-based known classes of LVIS-OW, from the data beside the goldens."""
    folder = Path(os.environ.get("SEGTUNE_GOLDENS", ROOT.parent / "shared" / "goldens"))
    for base in (folder.parent, ROOT.parent / "shared"):
        path = base / "data" / "lvis_ow_splits.json"
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))["known"]
            return frozenset(int(class_id) - 1 for class_id in known)
    pytest.skip("no data/lvis_ow_splits.json beside the goldens")


def images_of(golden: Golden) -> list[ImageObjects]:
    images = []
    for b in range(golden.config["batch"]):
        masks = golden[f"in.gt_masks.{b}"].bool()
        lists = (golden[f"in.{name}.{b}"] for name in ("not_exhaustive_ids", "negative_ids"))
        present, absent = (tuple((ids - 1).tolist()) for ids in lists)
        objects = MaskTargets(golden[f"in.gt_labels.{b}"], masks)
        images.append(ImageObjects(objects, present, absent))
    return images


def targets_in(golden: Golden) -> TrainingTargets:
    """Returns the targets that the recorded draws lead to."""
    config, known = config_of(golden.config), known_classes()
    num_classes = len(golden[f"state_dict.{PREDICTOR}memory_bank.weight"]) - 1
    classes = ClassSets(known, frozenset(range(num_classes)) - known, num_classes)
    draws = Replayed(golden)
    images = images_of(golden)
    found = training_targets(images, config, classes, [draws] * len(images))
    assert not draws.permutations
    assert not draws.samples
    return found


@pytest.mark.golden
def test_targets_are_the_official_ones():
    for golden in goldens("segprompt_step_ow"):
        found, out = targets_in(golden), golden.part("out")
        assert torch.equal(found.class_ids, out["candidate_ids"])
        assert torch.equal(found.is_absent, out["candidate_is_negative"].bool())
        assert torch.equal(found.has_masks, out["mask_supervised"])
        assert torch.equal(found.example_ids, out["example_labels"])
        assert torch.equal(found.example_masks.bool(), out["example_masks"].bool())
        for b in range(golden.config["batch"]):
            same = [
                (found.learned[b].masks, out[f"agnostic_target_masks.{b}"]),
                (found.examples[b].masks, out[f"example_target_masks.{b}"]),
                (found.prompts[b].masks, out[f"prompt_target_masks.{b}"]),
            ]
            assert all(torch.equal(ours, theirs.bool()) for ours, theirs in same)
            assert torch.equal(found.prompts[b].class_ids, out[f"prompt_target_labels.{b}"])


def point_draws(golden: Golden, targets: TrainingTargets) -> Iterator[Tensor]:
    """Yields the recorded points in the order in which the losses draw theirs.

    The record has final predictions first and goes from one to the next; we draw the points of all
    costs of a branch first, and earlier predictions before later ones.
    """
    draws = golden.part("rand.points")
    record = iter([draws[name] for name in sorted(draws)])
    steps, images = golden.config["dec_layers"] + 1, golden.config["batch"]
    order = [*range(1, steps), 0]
    prompts = sum(
        int(torch.isin(x.class_ids, ids[shown]).sum())
        for x, ids, shown in zip(targets.prompts, targets.class_ids, targets.has_masks, strict=True)
    )
    masks = (sum(map(len, targets.examples)), prompts, sum(map(len, targets.learned)))
    for branch, count in enumerate(masks):
        matching, losses = [], []
        for _ in range(steps):
            matching.append([next(record) for _ in range(images)] if branch else [])
            losses.append([next(record), next(record)] if count else [])
        yield from (torch.cat(matching[step]) for step in order if branch)
        for step in order:
            yield from losses[step]


@pytest.mark.golden
def test_losses_gradients_and_cache_of_a_step_are_the_official_ones(monkeypatch):
    for golden in goldens("segprompt_step_ow"):
        targets, out = targets_in(golden), golden.part("out")
        points = point_draws(golden, targets)

        def recorded(num_sets: int, num_points: int, _points=points, **_) -> Tensor:
            drawn = next(_points)
            assert drawn.shape[:2] == (num_sets, num_points)
            return drawn

        monkeypatch.setattr(mask_readers, "random_points", recorded)
        monkeypatch.setattr(point_sampling, "random_points", recorded)
        state = golden.part("state_dict")
        assert all(name.startswith(PREDICTOR) for name in state)
        model = loaded(golden, f"state_dict.{PREDICTOR}".removesuffix("."))
        model.requires_grad_(True)
        memory = memory_in(golden, model.decoder)
        answers = model(memory, targets.class_ids, golden["in.query_picks"], targets.example_masks)
        config, weights = config_of(golden.config), set_config_of(golden.config)
        losses = segprompt_losses(answers, targets, config, weights, generator=torch.Generator())
        assert next(points, None) is None
        expected = golden.part("out.loss")
        for mark, group in WAYS.items():
            for kind, official in (("class", "ce"), ("mask", "mask"), ("dice", "dice")):
                names = [name for name in expected if name.startswith(f"loss_{official}")]
                total = sum(expected[name].squeeze() for name in names if branch_of(name) == mark)
                close(losses[f"{group}_{kind}"], torch.as_tensor(total))
        loss = torch.stack(list(losses.values())).sum()
        close(loss, out["loss_total"].squeeze())
        loss.backward()
        compare_gradients(model, out)
        model.prompts.cache.update(answers.example_states, targets.example_ids)
        close(model.prompts.cache.rows, out["memory_bank_after"])


def branch_of(name: str) -> str:
    """Returns the mark of the branch in an official name of a loss.

    Example:
        >>> [branch_of(name) for name in ("loss_ce_1", "loss_ce2_1", "loss_ce_13_", "loss_ce3_")]
        ['', '2', '3_', '3_']
    """
    if name.endswith("3_"):
        return "3_"
    return "2" if name.split("_")[1].endswith("2") else ""


def compare_gradients(model, out: dict[str, Tensor]) -> None:
    """Asserts that the recorded gradients are ours."""
    decoder, prompts = model.decoder, model.prompts
    ours = {
        "class_embed.weight": decoder.class_linear.weight.grad,
        "level_embed.weight": decoder.level_embeds.grad,
        "mask_embed.layers.2.weight": decoder.mask_mlp[4].weight.grad,
        "query_embed.weight": decoder.query_position.grad,
        "query_feat.weight": decoder.query_content.grad,
    }
    for name, gradient in ours.items():
        close(gradient, out[f"grad.{name}"])
    rows = out["grad.id2feat.weight.rows"]
    gradient = prompts.class_content.weight.grad
    close(gradient[rows], out["grad.id2feat.weight.values"])
    rest = torch.ones(len(gradient), dtype=torch.bool)
    rest[rows] = False
    assert not gradient[rest].any()
