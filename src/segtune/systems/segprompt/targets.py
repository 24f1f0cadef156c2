"""Who learns what from an image: the objects of the three groups, and the classes of prompts.

Zhu et al., ICCV 2023, as its released training does it. All choices are made by a `Chooser`, so
that they can be repeated.

Shape letters: B images, N objects, P prompt queries in groups of R, E example queries.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from segtune.ops.mask_targets import MaskTargets
from segtune.systems.segprompt.config import SegPromptConfig

MOST_WITHOUT_REPEATS = 150
"""Objects of an image that are learned where R = 1, the first ones."""


class ImageObjects(NamedTuple):
    """What is known about an image.

    Attributes:
        objects: with masks at the size of the model input.
        present_ids: further classes that are in it, not all of whose objects are annotated.
        absent_ids: classes that are not in it.
    """

    objects: MaskTargets
    present_ids: tuple[int, ...] = ()
    absent_ids: tuple[int, ...] = ()


class ClassSets(NamedTuple):
    """Class ids whose masks are learned, and those of which at most the names are used."""

    known: frozenset[int]
    other: frozenset[int]
    padding_id: int


class Chooser(Protocol):
    """Draws for one image."""

    def permutation(self, count: int) -> list[int]:
        """Returns 0..count-1 in random order."""
        ...

    def sample(self, population: Sequence[int], count: int) -> list[int]:
        """Returns `count` different ones of a population."""
        ...


class RandomChooser:
    """Draws from a seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def permutation(self, count: int) -> list[int]:
        return torch.randperm(count, generator=self.generator).tolist()  # type: ignore[no-any-return]

    def sample(self, population: Sequence[int], count: int) -> list[int]:
        return [population[place] for place in self.permutation(len(population))[:count]]


@dataclass(frozen=True)
class TrainingTargets:
    """What the three groups learn from a batch.

    Attributes:
        learned: per image, known and large objects.
        prompts: per image, objects of the prompted classes.
        class_ids: (B, P) int64, of the prompt queries; R equal ones in a row.
        is_absent: (B, P) bool, no such object is in the image.
        has_masks: (B, P) bool, masks of the class are learned, not only its presence.
        examples: per image, at most E objects, the i-th of which is that of the i-th slot.
        example_ids: (B, E) int64, the padding id in empty slots.
        example_masks: (B, E, H, W) float, zero in empty slots.
    """

    learned: list[MaskTargets]
    prompts: list[MaskTargets]
    class_ids: Tensor
    is_absent: Tensor
    has_masks: Tensor
    examples: list[MaskTargets]
    example_ids: Tensor
    example_masks: Tensor

    def to(self, device: torch.device | str) -> TrainingTargets:
        """Returns the same on a device."""

        def moved(objects: list[MaskTargets]) -> list[MaskTargets]:
            return [MaskTargets(x.class_ids.to(device), x.masks.to(device)) for x in objects]

        return TrainingTargets(
            moved(self.learned),
            moved(self.prompts),
            self.class_ids.to(device),
            self.is_absent.to(device),
            self.has_masks.to(device),
            moved(self.examples),
            self.example_ids.to(device),
            self.example_masks.to(device),
        )


def training_targets(
    images: Sequence[ImageObjects],
    config: SegPromptConfig,
    classes: ClassSets,
    choosers: Sequence[Chooser],
) -> TrainingTargets:
    """Returns the targets of a batch whose objects are on the CPU.

    Args:
        choosers: one per image; the objects of prompts are drawn last.
    """
    learned, examples, slots = [], [], []
    for image, chooser in zip(images, choosers, strict=True):
        found = capped(image.objects, config.repeat, chooser)
        learned.append(known_and_large(found, config, classes))
        examples.append(chosen_examples(learned[-1], config.num_examples, chooser))
        slots.append(prompt_slots(image, learned[-1], examples[-1], config, classes, chooser))
    prompts = []
    for image, ids, own, chooser in zip(images, slots, learned, choosers, strict=True):
        found = capped(image.objects, config.repeat, chooser)
        found = own if config.large_only else found
        prompts.append(_kept(found, torch.isin(found.class_ids, ids.class_ids.to(found.class_ids))))
    labels, masks = zip(*(_slots_of(x, config, classes) for x in examples), strict=True)
    return TrainingTargets(
        learned,
        prompts,
        torch.stack([x.class_ids for x in slots]),
        torch.stack([x.is_absent for x in slots]),
        torch.stack([x.has_masks for x in slots]),
        examples,
        torch.stack(labels),
        torch.stack(masks),
    )


def capped(objects: MaskTargets, repeat: int, chooser: Chooser) -> MaskTargets:
    """Returns at most `repeat` objects of every class, by class; without repeats the first ones."""
    if repeat == 1:
        return _kept(objects, torch.arange(len(objects))[:MOST_WITHOUT_REPEATS])
    kept: list[int] = []
    for class_id in objects.class_ids.unique().tolist():
        rows = (objects.class_ids == class_id).nonzero().flatten().tolist()
        if len(rows) > repeat:
            rows = [rows[place] for place in chooser.permutation(len(rows))[:repeat]]
        kept += rows
    return _kept(objects, torch.tensor(kept, dtype=torch.int64))


def known_and_large(
    objects: MaskTargets, config: SegPromptConfig, classes: ClassSets
) -> MaskTargets:
    """Returns the objects of known classes with more than `min_area` pixels."""
    is_known = torch.tensor([i in classes.known for i in objects.class_ids.tolist()])
    is_large = objects.masks.flatten(1).sum(1).cpu() > config.min_area
    return _kept(objects, is_known.bool() & is_large)


def chosen_examples(objects: MaskTargets, count: int, chooser: Chooser) -> MaskTargets:
    """Returns at most `count` objects: of as many classes as there are, then further ones."""
    if len(objects) <= count:
        return objects
    labels = objects.class_ids.tolist()
    firsts = [labels.index(class_id) for class_id in sorted(set(labels))]
    if len(firsts) >= count:
        rows = [firsts[place] for place in chooser.sample(range(len(firsts)), count)]
    else:
        rest = [row for row in range(len(labels)) if row not in firsts]
        rows = firsts + chooser.sample(rest, count - len(firsts))
    return _kept(objects, torch.tensor(rows, dtype=torch.int64))


class PromptSlots(NamedTuple):
    """Classes of the prompt queries of one image, (P,) each; see `TrainingTargets`."""

    class_ids: Tensor
    is_absent: Tensor
    has_masks: Tensor


def prompt_slots(
    image: ImageObjects,
    learned: MaskTargets,
    examples: MaskTargets,
    config: SegPromptConfig,
    classes: ClassSets,
    chooser: Chooser,
) -> PromptSlots:
    """Returns which classes are asked for: those in the image, those known not to be, any others.

    Args:
        learned, examples: known and large objects, and those that are shown.
    """
    with_lists = config.image_lists and bool(classes.other)
    listed = set(image.present_ids) if with_lists else set()
    not_there = set(image.absent_ids) if with_lists else set()
    present = set(learned.class_ids.tolist()) | listed
    present |= set(image.objects.class_ids.tolist()) & classes.other
    absent = sorted(not_there - present) if with_lists else []
    order = [*sorted(present), *absent]
    missing = config.num_prompts - config.repeat * len(order)
    if missing > 0:
        pool = classes.known | classes.other if config.absent_from_all else classes.known
        rest = sorted(pool - present - not_there)
        wanted = min(missing // config.repeat + 1, len(rest))
        order += sorted(chooser.sample(rest, wanted))
    order = order[: config.num_groups]
    order += [classes.padding_id] * (config.num_groups - len(order))
    shown = learned if config.masks_of_all_classes else examples
    supervised = set(shown.class_ids.tolist())
    if not config.masks_of_all_classes:
        supervised -= listed | not_there
    columns = (order, [i not in present for i in order], [i in supervised for i in order])
    ids, is_absent, has_masks = (torch.tensor(x).repeat_interleave(config.repeat) for x in columns)
    return PromptSlots(ids.long(), is_absent.bool(), has_masks.bool())


def _slots_of(
    examples: MaskTargets, config: SegPromptConfig, classes: ClassSets
) -> tuple[Tensor, Tensor]:
    """Returns (E,) class ids and (E, H, W) float masks, empty slots last."""
    count, left = len(examples), config.num_examples - len(examples)
    ids = examples.class_ids
    masks = examples.masks.float()
    padding = ids.new_full((left,), classes.padding_id)
    empty = masks.new_zeros(left, *masks.shape[1:])
    assert count <= config.num_examples
    return torch.cat([ids, padding]), torch.cat([masks, empty])


def _kept(objects: MaskTargets, which: Collection[int] | Tensor) -> MaskTargets:
    rows = torch.as_tensor(which).to(objects.masks.device)
    return MaskTargets(objects.class_ids[rows], objects.masks[rows])
