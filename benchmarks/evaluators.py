"""What scoring costs: AP/AR, PQ and the confusion matrix, against plain implementations.

    python benchmarks/evaluators.py [--json FILE] [--images N]

Both sides score the same inputs in one run, and their numbers are compared before any time is
printed. Images are 480 x 640 with 15 objects, 100 predictions per image, masks as compressed RLE.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, print_table
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from segtune.eval.instances.evaluator import InstanceEvaluator
from segtune.eval.panoptic import PanopticEvaluator
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import IGNORE, Concept, Vocabulary

SIZE = (480, 640)
NUM_OBJECTS, NUM_PREDS, NUM_SCENES = 15, 100, 50
LIMITS = {"AP/AR, 1 class": 15.0, "PQ": 10.0, "confusion matrix": 5.0}
"""What is claimed: plain seconds / segtune seconds, at least."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table; processor seconds of one thread for all images.

    Attributes:
        apart: largest difference between the numbers of the two sides.
    """

    what: str
    plain: str
    images: int
    plain_seconds: float
    segtune_seconds: float
    apart: float

    @property
    def ratio(self) -> float:
        """How many times faster segtune is."""
        return self.plain_seconds / self.segtune_seconds


# -- average precision and recall --------------------------------------------------------------


def ellipse(rng: np.random.Generator, *, around: np.ndarray | None = None) -> np.ndarray:
    """Returns (y, x, half height, half width) of an ellipse, or of one much like another."""
    height, width = SIZE
    if around is None:
        radii = np.exp(rng.uniform(np.log(5), np.log(90), 2))
        return np.array([rng.uniform(0, height), rng.uniform(0, width), *radii])
    shift = rng.normal(0, 0.12, 2) * around[2:]
    return np.concatenate([around[:2] + shift, around[2:] * np.exp(rng.normal(0, 0.12, 2))])


def encoded(shape: np.ndarray) -> Entry:
    """Returns the RLE of an ellipse; one pixel at least."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    y, x, a, b = shape
    mask = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
    mask[int(np.clip(y, 0, SIZE[0] - 1)), int(np.clip(x, 0, SIZE[1] - 1))] = True
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def make_entries(num_images: int, num_classes: int) -> tuple[list[Entry], list[Entry]]:
    """Returns COCO annotations and results of `num_images` images, ids from 1.

    The masks of `NUM_SCENES` scenes are used in turns; classes and scores are new for every image.
    """
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(min(num_images, NUM_SCENES)):
        objects = [ellipse(rng) for _ in range(NUM_OBJECTS)]
        near = rng.integers(0, 2 * NUM_OBJECTS, NUM_PREDS)
        preds = [ellipse(rng, around=objects[i] if i < NUM_OBJECTS else None) for i in near]
        scenes.append(([encoded(o) for o in objects], near, [encoded(p) for p in preds]))
    truth: list[Entry] = []
    results: list[Entry] = []
    for image_id in range(1, num_images + 1):
        objects, near, preds = scenes[image_id % len(scenes)]
        classes = rng.integers(0, num_classes, 2 * NUM_OBJECTS)
        areas = coco_mask.area(objects).tolist()
        boxes = coco_mask.toBbox(objects).tolist()
        is_crowd = rng.random(NUM_OBJECTS) < 0.05
        for i, rle in enumerate(objects):
            entry = {"id": len(truth) + 1, "image_id": image_id, "category_id": int(classes[i])}
            entry |= {"area": areas[i], "bbox": boxes[i], "iscrowd": int(is_crowd[i])}
            truth.append(entry | {"segmentation": rle})
        scores = rng.random(NUM_PREDS).round(3).tolist()
        for i, score, rle in zip(near.tolist(), scores, preds, strict=True):
            entry = {"image_id": image_id, "category_id": int(classes[i]), "score": score}
            results.append(entry | {"segmentation": rle})
    return truth, results


def dataset_of(num_images: int, num_classes: int, truth: list[Entry]) -> Entry:
    """Returns a COCO annotation file of images of one size, with copies of the entries."""
    height, width = SIZE
    return {
        "images": [{"id": i, "height": height, "width": width} for i in range(1, num_images + 1)],
        "annotations": [dict(entry) for entry in truth],
        "categories": [{"id": i, "name": str(i)} for i in range(num_classes)],
        "info": {},
    }


def loaded(num_images: int, num_classes: int, truth: list[Entry], results: list[Entry]) -> COCOeval:
    """Returns COCO's evaluation with its files loaded, which is not timed."""
    coco = COCO()
    coco.dataset = dataset_of(num_images, num_classes, truth)
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        return COCOeval(coco, coco.loadRes([dict(entry) for entry in results]), "segm")


def average_precision_rows(num_images: int, num_classes: int) -> list[Row]:
    """Returns the rows of AP/AR: all of it, and without the overlaps."""
    truth, results = make_entries(num_images, num_classes)
    reference = loaded(num_images, num_classes, truth, results)
    overlap_seconds = 0.0
    compute = reference.computeIoU

    def timed(image_id: int, category_id: int) -> Any:
        nonlocal overlap_seconds
        start = time.process_time()
        ious = compute(image_id, category_id)
        overlap_seconds += time.process_time() - start
        return ious

    reference.computeIoU = timed
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        reference.evaluate()
        reference.accumulate()
    plain = time.process_time() - start

    truth_of, results_of = by_image(truth, num_images), by_image(results, num_images)
    start = time.process_time()
    evaluator = InstanceEvaluator(num_classes)
    for image_id in range(1, num_images + 1):
        evaluator.update(image_id, results_of[image_id], truth_of[image_id])
    middle = time.process_time()
    scores = evaluator.result()
    end = time.process_time()

    assert scores.precision is not None
    apart = max(
        np.abs(np.nan_to_num(ours, nan=-1) - theirs).max()
        for ours, theirs in (
            (scores.precision, reference.eval["precision"]),
            (scores.recall, reference.eval["recall"]),
        )
    )
    name = f"AP/AR, {num_classes} class" + "es" * (num_classes > 1)
    return [
        Row(name, "pycocotools", num_images, plain, end - start, float(apart)),
        Row(
            f"{name}, without overlaps",
            "pycocotools",
            num_images,
            plain - overlap_seconds,
            end - middle,
            float(apart),
        ),
    ]


def by_image(entries: list[Entry], num_images: int) -> dict[int, list[Entry]]:
    """Returns image id -> its entries."""
    found: dict[int, list[Entry]] = {i: [] for i in range(1, num_images + 1)}
    for entry in entries:
        found[entry["image_id"]].append(entry)
    return found


# -- panoptic quality and the confusion matrix -------------------------------------------------

VOCABULARY = Vocabulary(
    tuple(Concept(f"class {i}", kind="thing" if i < 10 else "stuff") for i in range(20))
)
Panoptic = tuple[np.ndarray, dict[int, int]]


def make_panoptic(rng: np.random.Generator) -> tuple[Panoptic, Panoptic]:
    """Returns (segment ids (H, W) int32, segment id -> class id) of a prediction and its truth."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    shapes = [ellipse(rng) for _ in range(NUM_OBJECTS)]
    classes = rng.integers(0, len(VOCABULARY), NUM_OBJECTS + 4).tolist()

    def painted(jitter: bool) -> Panoptic:
        ids = np.zeros(SIZE, dtype=np.int32)
        for i, column in enumerate(range(0, SIZE[1] - 40, 160)):  # the last 40 columns are void
            ids[:, column : column + 150] = 1000 * (NUM_OBJECTS + i + 1)
        for i, shape in enumerate(shapes):
            y, x, a, b = ellipse(rng, around=shape) if jitter else shape
            ids[((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1] = 1000 * (i + 1)
        used = set(np.unique(ids).tolist()) - {0}
        wrong = rng.random(len(classes)) < (0.2 if jitter else 0)
        names = [(k + 1) % len(VOCABULARY) if w else k for k, w in zip(classes, wrong, strict=True)]
        return ids, {1000 * (i + 1): k for i, k in enumerate(names) if 1000 * (i + 1) in used}

    return painted(True), painted(False)


def plain_panoptic(images: Sequence[tuple[Panoptic, Panoptic]]) -> np.ndarray:
    """Returns (4, K): overlaps, TP, FP and FN, segment by segment."""
    totals = np.zeros((4, len(VOCABULARY)))
    for (pred_ids, pred_classes), (truth_ids, truth_classes) in images:
        is_void = truth_ids == 0
        matched_preds = set()
        for truth_id, class_id in truth_classes.items():
            truth_mask = truth_ids == truth_id
            partner = None
            for pred_id, pred_class in pred_classes.items():
                if pred_class != class_id:
                    continue
                pred_mask = pred_ids == pred_id
                shared = (truth_mask & pred_mask).sum()
                union = (truth_mask | (pred_mask & ~is_void)).sum()
                if shared / union > 0.5:
                    partner = pred_id
                    totals[:2, class_id] += shared / union, 1
            matched_preds.add(partner)
            totals[3, class_id] += partner is None
        for pred_id, class_id in pred_classes.items():
            pred_mask = pred_ids == pred_id
            on_void = (pred_mask & is_void).sum() / pred_mask.sum() > 0.5
            totals[2, class_id] += pred_id not in matched_preds and not on_void
    return totals


def segtune_panoptic(images: Sequence[tuple[Panoptic, Panoptic]]) -> np.ndarray:
    """Returns the same by `PanopticEvaluator`."""
    evaluator = PanopticEvaluator(VOCABULARY)
    for pred, truth in images:
        evaluator.update(*pred, *truth)
    counts = evaluator.matches, evaluator.errors, evaluator.misses
    return np.stack([evaluator.iou_sum, *counts])


def pixel_sorting_histograms(images: Sequence[tuple[Panoptic, Panoptic]]) -> None:
    """Counts the joint histograms as panopticapi does, sorting a 64-bit key per pixel."""
    for (pred_ids, _), (truth_ids, _) in images:
        keys = truth_ids.astype(np.uint64) * 256**3 + pred_ids.astype(np.uint64)
        np.unique(keys, return_counts=True)


def plain_confusion(maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns (K, K + 1) pixel counts, class by class."""
    num_classes = len(VOCABULARY)
    counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    for pred, truth in maps:
        for class_id in range(num_classes):
            inside = pred[truth == class_id]
            for other in range(num_classes):
                counts[class_id, other] += (inside == other).sum()
            counts[class_id, -1] += (inside == IGNORE).sum()
    return counts


def segtune_confusion(maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns the same by `ConfusionMatrix`."""
    matrix = ConfusionMatrix(len(VOCABULARY))
    for pred, truth in maps:
        matrix.update(pred, truth)
    return matrix.counts


def class_map(panoptic: Panoptic) -> np.ndarray:
    """Returns the (H, W) int32 label map of a panoptic one."""
    ids, classes = panoptic
    table = np.full(ids.max() + 1, IGNORE, dtype=np.int32)
    table[list(classes)] = list(classes.values())
    return table[ids]


def pixel_rows(num_images: int) -> list[Row]:
    """Returns the rows of PQ and of the confusion matrix."""
    rng = np.random.default_rng(1)
    images = [make_panoptic(rng) for _ in range(num_images)]
    maps = [(class_map(pred), class_map(truth)) for pred, truth in images]
    plain, plain_seconds = seconds_of(plain_panoptic, images)
    _, sorting_seconds = seconds_of(pixel_sorting_histograms, images)
    ours, our_seconds = seconds_of(segtune_panoptic, images)
    apart = float(np.abs(plain - ours).max())
    rows = [
        Row("PQ", "segment by segment", num_images, plain_seconds, our_seconds, apart),
        Row(
            "PQ",
            "only the histogram, as panopticapi",
            num_images,
            sorting_seconds,
            our_seconds,
            apart,
        ),
    ]
    plain, plain_seconds = seconds_of(plain_confusion, maps)
    ours, our_seconds = seconds_of(segtune_confusion, maps)
    apart = float(np.abs(plain - ours).max())
    name = "confusion matrix"
    return [*rows, Row(name, "class by class", num_images, plain_seconds, our_seconds, apart)]


def seconds_of(call: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """Returns what a call returns, and its processor time."""
    start = time.process_time()
    result = call(argument)
    return result, time.process_time() - start


# -- reporting ---------------------------------------------------------------------------------


def checks(rows: Sequence[Row]) -> list[tuple[str, float, str, bool]]:
    """Returns (what, value, limit in words, is met)."""
    found = []
    for what, limit in LIMITS.items():
        row = next(row for row in rows if row.what == what)
        found.append((f"{what}, faster by", row.ratio, f">= {limit:g}", row.ratio >= limit))
    value = max(row.apart for row in rows)
    found.append(("numbers apart", value, "<= 1e-12", value <= 1e-12))
    return found


def notes() -> Mapping[str, str]:
    """Returns what a reader of the table needs to know."""
    return {
        "machine": f"{machine()}, one thread; pycocotools {version('pycocotools')}",
        "inputs": f"{SIZE[0]} x {SIZE[1]}, {NUM_OBJECTS} objects (5 % crowds), {NUM_PREDS} "
        f"predictions, scores of three digits; the masks of {NUM_SCENES} scenes in turns",
        "AP/AR": "pycocotools: evaluate + accumulate, files loaded before, areas and boxes known; "
        "segtune: update of every image from RLE, areas and boxes included, + result. Both give 10 "
        "overlaps x 4 area ranges x 3 limits. 'without overlaps': pycocotools without computeIoU; "
        "segtune without update",
        "PQ, confusion matrix": "20 classes; a tenth of the images",
        "seconds": "processor time, one run each",
    }


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--images", type=int, default=1000, help="images of AP/AR; PQ a tenth")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for num_classes in tqdm((1, 20), disable=None, unit="table"):
        rows += average_precision_rows(options.images, num_classes)
    rows += pixel_rows(max(options.images // 10, 1))
    found = checks(rows)
    for name, text in notes().items():
        print(f"{name}: {text}")
    print()
    cells = [
        [
            row.what,
            row.plain,
            str(row.images),
            f"{row.plain_seconds:.2f}",
            f"{row.segtune_seconds:.2f}",
            f"{row.ratio:.1f}",
            f"{row.apart:.0e}",
        ]
        for row in rows
    ]
    print_table(["score", "against", "images", "plain s", "segtune s", "ratio", "apart"], cells)
    print()
    for what, value, limit, is_met in found:
        print(f"{what}: {value:.6g} ({limit}) {'met' if is_met else 'NOT MET'}")
    if options.json:
        table = [asdict(row) | {"ratio": row.ratio} for row in rows]
        report = {"notes": notes(), "rows": table, "checks": found}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
