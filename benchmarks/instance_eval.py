"""What scoring of regions costs: class-agnostic AP/AR and recall by group over 1203 classes.

    python benchmarks/instance_eval.py [--json FILE] [--images N] [--open-world-images N]

The first table scores 100 predictions and 15 objects per image as one class, with pycocotools, with
faster-coco-eval where it is installed, and with segtune, all in one run; their numbers are compared
before any time is printed. The second scores the recall of LVIS-OW: known, seen and unseen classes,
four limits from one pass. A few of its images are scored plainly too, class by class.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, print_table
from evaluators import (
    NUM_OBJECTS,
    NUM_PREDS,
    NUM_SCENES,
    SIZE,
    Entry,
    by_image,
    dataset_of,
    loaded,
    make_entries,
)
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from segtune.eval.instances.evaluator import COCO_IOUS, InstanceEvaluator
from segtune.eval.instances.scores import InstanceScores
from segtune.types import Concept, Vocabulary

FASTER_THAN_COCO, FASTER_THAN_FASTER, SECONDS = 15.0, 1.0, 300.0
"""What is claimed: seconds of the others / ours, at least; seconds of the second table, at most."""
LIMITS = (1, 10, 100, 300)
GROUPS = {"known": 123, "seen": 743, "unseen": 337}
"""Classes of LVIS-OW."""
CLASSES_PER_IMAGE = 4
COMPARED_IMAGES = 20
KEYS = ("precision", "recall")
FASTER = "faster-coco-eval"


@dataclass(frozen=True)
class Row:
    """One line of a table; processor seconds of one thread for all images.

    Attributes:
        apart: largest difference from the numbers of pycocotools.
    """

    what: str
    by: str
    images: int
    seconds: float
    apart: float


# -- one class ---------------------------------------------------------------------------------


def class_agnostic_rows(num_images: int) -> list[Row]:
    """Returns the rows of AP/AR of one class: pycocotools, faster-coco-eval, segtune."""
    truth, results = make_entries(num_images, 1)
    reference = loaded(num_images, 1, truth, results)
    plain = seconds_of_coco(reference)
    what = "class-agnostic AP/AR"
    rows = [Row(what, "pycocotools", num_images, plain, 0.0)]
    if find_spec("faster_coco_eval") is not None:
        other = loaded_faster(num_images, truth, results)
        seconds = seconds_of_coco(other)
        rows.append(Row(what, FASTER, num_images, seconds, apart(other.eval, reference)))
    truth_of, results_of = by_image(truth, num_images), by_image(results, num_images)
    start = time.process_time()
    evaluator = InstanceEvaluator(1, across_classes=True)
    for image_id in range(1, num_images + 1):
        evaluator.update(image_id, results_of[image_id], truth_of[image_id])
    scores = evaluator.class_agnostic()
    seconds = time.process_time() - start
    ours = {"precision": scores.precision, "recall": scores.recall}
    return [*rows, Row(what, "segtune", num_images, seconds, apart(ours, reference))]


def seconds_of_coco(evaluation: Any) -> float:
    """Returns the processor time of evaluate and accumulate."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    return time.process_time() - start


def loaded_faster(num_images: int, truth: list[Entry], results: list[Entry]) -> Any:
    """Returns the evaluation of faster-coco-eval with its files loaded, which is not timed."""
    from faster_coco_eval import COCO, COCOeval_faster

    coco = COCO(dataset_of(num_images, 1, truth))
    found = coco.loadRes([dict(entry) for entry in results])
    return COCOeval_faster(coco, found, "segm", print_function=lambda *_: None)


def apart(ours: dict[str, Any], reference: COCOeval) -> float:
    """Returns the largest difference of precision and recall; -1 stands for nothing to find."""
    pairs = ((np.nan_to_num(ours[key], nan=-1), reference.eval[key]) for key in KEYS)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


# -- 1203 classes ------------------------------------------------------------------------------


def lvis_vocabulary() -> Vocabulary:
    """Returns 1203 classes in the groups of LVIS-OW."""
    groups = [group for group, count in GROUPS.items() for _ in range(count)]
    return Vocabulary(tuple(Concept(f"class {i}", group=g) for i, g in enumerate(groups)))


def open_world_images(num_images: int) -> Iterator[tuple[int, list[Entry], list[Entry]]]:
    """Yields image id, results and annotations, one image at a time.

    Classes follow Zipf's law, about four to an image; the masks of a few scenes are used in turns.
    """
    rng = np.random.default_rng(2)
    num_classes = sum(GROUPS.values())
    share = 1 / np.arange(1, num_classes + 1)
    share = rng.permutation(share / share.sum())
    num_scenes = min(num_images, NUM_SCENES)
    truth, results = make_entries(num_scenes, 1)
    truth_of, results_of = by_image(truth, num_scenes), by_image(results, num_scenes)
    for image_id in range(1, num_images + 1):
        scene = image_id % num_scenes + 1
        classes = rng.choice(rng.choice(num_classes, CLASSES_PER_IMAGE, p=share), NUM_OBJECTS)
        scores = rng.random(NUM_PREDS).round(3).tolist()
        yield (
            image_id,
            [x | {"score": s} for x, s in zip(results_of[scene], scores, strict=True)],
            [
                x | {"category_id": k, "iscrowd": 0}
                for x, k in zip(truth_of[scene], classes.tolist(), strict=True)
            ],
        )


def open_world_rows(num_images: int) -> list[Row]:
    """Returns the rows of LVIS-OW: all images by segtune, and a few by both."""
    few = COMPARED_IMAGES
    compared, _, _ = scored(few)
    start = time.process_time()
    plain = plain_open_world(few)
    plain_seconds = time.process_time() - start
    difference = np.abs(np.nan_to_num(compared.recall[:, :, 0], nan=-1) - plain)
    _, seconds, making = scored(num_images)
    what = "LVIS-OW recall, 1203 classes"
    apart = float(difference.max())
    return [
        Row(what, "pycocotools, class by class", few, plain_seconds, 0.0),
        Row(what, "segtune", num_images, seconds - making, apart),
    ]


def scored(num_images: int) -> tuple[InstanceScores, float, float]:
    """Returns the scores, the processor time, and that of making the inputs."""
    start = time.process_time()
    evaluator = InstanceEvaluator(lvis_vocabulary(), across_classes=True)
    making = 0.0
    before = time.process_time()
    for image_id, results, truth in tqdm(
        open_world_images(num_images), "LVIS-OW", num_images, disable=None
    ):
        making += time.process_time() - before
        evaluator.update(image_id, results, truth)
        before = time.process_time()
    scores = evaluator.open_world(limits=LIMITS)
    scores.summary()
    return scores, time.process_time() - start, making


def plain_open_world(num_images: int) -> np.ndarray:
    """Returns recall (T, K, L) by pycocotools: results become results of every class in turn."""
    images = list(open_world_images(num_images))
    num_classes = sum(GROUPS.values())
    recall = np.full((len(COCO_IOUS), num_classes, len(LIMITS)), -1.0)
    for class_id in sorted({x["category_id"] for _, _, truth in images for x in truth}):
        truth = [
            x | {"image_id": i, "category_id": 0}
            for i, _, found in images
            for x in found
            if x["category_id"] == class_id
        ]
        results = [x | {"image_id": i} for i, found, _ in images for x in found]
        evaluation = loaded(num_images, 1, truth, results)
        evaluation.params.maxDets = list(LIMITS)
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        seconds_of_coco(evaluation)
        recall[:, class_id] = evaluation.eval["recall"][:, 0, 0]
    return recall


# -- reporting ---------------------------------------------------------------------------------


def checks(rows: Sequence[Row]) -> list[tuple[str, float, str, bool]]:
    """Returns (what, value, limit in words, is met)."""
    first = {row.by: row for row in rows if row.what.startswith("class-agnostic")}
    ours, last = first["segtune"], rows[-1]
    found = []
    for other, limit in (("pycocotools", FASTER_THAN_COCO), (FASTER, FASTER_THAN_FASTER)):
        if other in first:
            ratio = first[other].seconds / ours.seconds
            found.append((f"faster than {other} by", ratio, f">= {limit:g}", ratio >= limit))
    found.append(
        (
            f"seconds of {last.images} images, 1203 classes",
            last.seconds,
            f"<= {SECONDS:g}",
            last.seconds <= SECONDS,
        )
    )
    value = max(row.apart for row in rows)
    return [*found, ("numbers apart", value, "<= 1e-12", value <= 1e-12)]


def notes() -> dict[str, str]:
    """Returns what a reader of the tables needs to know."""
    try:
        other = f"{FASTER} {version('faster-coco-eval')}"
    except PackageNotFoundError:
        other = f"{FASTER} is not installed"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "machine": f"{machine()}, one thread; pycocotools {version('pycocotools')}, {other}",
        "inputs": f"{SIZE[0]} x {SIZE[1]}, {NUM_OBJECTS} objects, {NUM_PREDS} predictions, scores "
        f"of three digits; the masks of {NUM_SCENES} scenes in turns",
        "class-agnostic AP/AR": "pycocotools and faster-coco-eval: evaluate + accumulate, files "
        "loaded before; segtune: update of every image from RLE, areas and boxes included, + "
        "result. 10 overlaps x 4 area ranges x 3 limits",
        "LVIS-OW": f"known {GROUPS['known']}, seen {GROUPS['seen']}, unseen {GROUPS['unseen']}; "
        f"limits {', '.join(map(str, LIMITS))} and 4 area ranges from one pass; making the inputs "
        f"is not counted. pycocotools: the classes of {COMPARED_IMAGES} images, one range, loading "
        "included",
        "seconds": "processor time, one run each",
        "peak memory": f"{peak:.0f} MB of the whole run",
    }


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--images", type=int, default=1000, help="images of the first table")
    parser.add_argument("--open-world-images", type=int, default=20_000, metavar="N")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = class_agnostic_rows(options.images) + open_world_rows(options.open_world_images)
    found, said = checks(rows), notes()
    for name, text in said.items():
        print(f"{name}: {text}")
    print()
    cells = [
        [
            row.what,
            row.by,
            str(row.images),
            f"{row.seconds:.2f}",
            f"{1000 * row.seconds / row.images:.2f}",
            f"{row.apart:.0e}",
        ]
        for row in rows
    ]
    print_table(["score", "by", "images", "s", "ms per image", "apart"], cells)
    print()
    for what, value, limit, is_met in found:
        print(f"{what}: {value:.6g} ({limit}) {'met' if is_met else 'NOT MET'}")
    if options.json:
        report = {"notes": said, "rows": [asdict(row) for row in rows], "checks": found}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
