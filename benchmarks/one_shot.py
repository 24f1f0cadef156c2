"""How well objects are found by example: one marked object of a class, all of it elsewhere.

    python benchmarks/one_shot.py [--model segprompt-tiny] [--split test] [--json FILE]

An episode is an image with objects of one class, and support images with one marked object of that
class each. All objects of the class are to be found in the image; AP is COCO's over the episodes of
a group of classes, hits are episodes whose first answer has an IoU of 0.5 with such an object.
Beside it, on the same episodes: the cached prompt of the class, and the same model without an
example: its regions by their score, and in random order.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common import print_table

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.eval.instances.evaluator import InstanceEvaluator
from segtune.predict.segmenter import Segmenter, load
from segtune.types import Dataset, Instance, Sample, Segment

GROUPS = ("known", "seen", "unseen")
WAYS = ("by example", "by cached prompt", "regions by score", "regions at random")
SMALLEST = 20
"""Pixels of a marked object."""
EVERYTHING = 1e-6
"""Smallest score: ranking is measured, not a threshold."""


@dataclass(frozen=True)
class Episode:
    """A class, where it is looked for, and where it is shown: indices of images and objects."""

    class_id: int
    group: str
    image: int
    supports: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Row:
    """One way on one group, in percent."""

    way: str
    group: str
    ap: float
    ap50: float
    recall: float
    hits: float
    num_episodes: int


def episodes(dataset: Dataset, *, shots: int, most: int, seed: int = 0) -> Iterator[Episode]:
    """Yields at most `most` episodes of every class that is in enough images."""
    places: dict[int, dict[int, int]] = {}
    for index in range(len(dataset)):
        for number, item in enumerate(dataset[index].instances):
            if item.mask.sum() > SMALLEST:
                places.setdefault(item.class_id, {}).setdefault(index, number)
    rng = np.random.default_rng(seed)
    for class_id in sorted(places):
        there = places[class_id]
        if len(there) <= shots:
            continue
        for image in sorted(there)[:most]:
            others = [index for index in sorted(there) if index != image]
            chosen = rng.choice(others, size=shots, replace=False).tolist()
            supports = tuple((index, there[index]) for index in chosen)
            group = str(dataset.vocabulary.concepts[class_id].group)
            yield Episode(class_id, group, image, supports)


def answers(
    model: Segmenter, dataset: Dataset, episode: Episode, rng: np.random.Generator
) -> dict[str, tuple[Segment, ...]]:
    """Returns what every way says about the image of an episode."""
    sample = dataset[episode.image]
    shown = model.show(
        *((dataset[i], dataset[i].instances[n].mask[None]) for i, n in episode.supports)
    )
    found = {"by example": shown.find(sample, min_score=EVERYTHING).segments}
    try:
        cached = model.show_class(dataset.vocabulary.names[episode.class_id])
        found["by cached prompt"] = cached.find(sample, min_score=EVERYTHING).segments
    except SegtuneError:
        pass  # no example of the class was in the training
    regions = model.segment(sample, "object", task="instance").segments
    found["regions by score"] = regions
    scores = rng.random(len(regions)).tolist()
    found["regions at random"] = tuple(
        Segment(item.class_id, score, item.box_px, item.mask)
        for item, score in zip(regions, scores, strict=True)
    )
    return found


def objects(sample: Sample, class_id: int) -> list[Instance]:
    """Returns the objects of a class, under the only name that answers have."""
    return [Instance(0, item.mask) for item in sample.instances if item.class_id == class_id]


def is_hit(segments: Sequence[Segment], truth: Sequence[Instance]) -> bool:
    """Whether the best segment has an IoU of 0.5 or more with an object."""
    if not segments:
        return False
    size = (truth[0].mask.shape[0], truth[0].mask.shape[1])
    best = max(segments, key=lambda item: item.score).full_mask(size)
    return any((best & x.mask).sum() >= 0.5 * (best | x.mask).sum() for x in truth)


def measure(
    model: Segmenter, dataset: Dataset, chosen: Sequence[Episode], *, seed: int = 0
) -> list[Row]:
    """Returns one row per way and group that has episodes."""
    rng = np.random.default_rng(seed)
    totals: dict[tuple[str, str], InstanceEvaluator] = {}
    hits: dict[tuple[str, str], list[bool]] = {}
    for number, episode in enumerate(chosen):
        truth = objects(dataset[episode.image], episode.class_id)
        for way, segments in answers(model, dataset, episode, rng).items():
            key = (way, episode.group)
            segments = tuple(Segment(0, s.score, s.box_px, s.mask) for s in segments)
            totals.setdefault(key, InstanceEvaluator(1)).update(number, segments, truth)
            hits.setdefault(key, []).append(is_hit(segments, truth))
    rows = []
    for way in WAYS:
        for group in GROUPS:
            if (way, group) not in totals:
                continue
            scores = totals[way, group].result().summary()
            said = hits[way, group]
            values = (scores["AP"], scores["AP50"], scores["AR@100"], sum(said) / len(said))
            rows.append(Row(way, group, *(100 * value for value in values), len(said)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="segprompt-tiny")
    parser.add_argument("--data", default="synthetic:longtail?size=128&length=200")
    parser.add_argument("--split", default="test")
    parser.add_argument("--shots", type=int, default=1, help="support images")
    parser.add_argument("--most", type=int, default=6, help="episodes per class")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table there")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = open_dataset(options.data, split=options.split)
    chosen = list(episodes(dataset, shots=options.shots, most=options.most))
    rows = measure(load(options.model), dataset, chosen)
    print_table(
        ["way", "classes", "AP", "AP50", "AR@100", "first hits", "episodes"],
        [
            [row.way, row.group]
            + [f"{value:.1f}" for value in (row.ap, row.ap50, row.recall, row.hits)]
            + [str(row.num_episodes)]
            for row in rows
        ],
    )
    if options.json:
        values = [asdict(row) for row in rows]
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
