"""What OVSeg costs per image, as its code was published and as segtune computes it.

    python benchmarks/two_stage_cost.py [--json FILE] [--quick]

MaskFormer with Swin-B and CLIP ViT-B/16 with random weights and mask prompts in 3 layers; one image
with a short side of 640, 100 proposals that overlap, about half of whose patches are blank; the
words of ADE20K-150 and ADE20K-847 in 14 sentences each. The plain path is in `two_stage_plain.py`.
Both sides run the same proposal network. No mask is empty and no two are equal, so nothing is
gained by leaving masks out or by sharing a pass.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from common import (
    MAC_RULE,
    MEMORY_RULE,
    Seconds,
    count_macs,
    in_fresh_process,
    interleaved_seconds,
    machine,
    peak_growth,
    print_table,
)
from torch import Tensor
from tqdm import tqdm
from two_stage_case import FULL, QUICK, Case, Sizes, make_case
from two_stage_plain import (
    plain_embeds,
    plain_image,
    plain_labels,
    plain_masks,
    plain_regions,
    plain_text,
)

from segtune.backbones.clip.masked import region_embeds, shown_patches
from segtune.ops.mask_labels import label_from_masks
from segtune.ops.postprocess import semantic
from segtune.types import MaskPrediction, SumAtResized
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates

WAYS = ("plain", "segtune")
PARTS = ("proposals", "regions", "CLIP", "labels", "image", "text")
"""Of a row: the first stage, cutting regions, their embeddings, from scores to labels; all of that
together; the embeddings of the words."""


LIMITS = (  # what, part, quantity, segtune against plain: at most
    ("regions, seconds", "regions", "seconds", 1 / 3),
    ("text, MACs", "text", "macs", 1 / 4),
    ("CLIP on regions, seconds", "CLIP", "seconds", 0.85),
    ("image with new words, seconds", "with words", "seconds", 0.6),
    ("image with known words, seconds", "image", "seconds", 0.6),
)


# -- the parts, both ways -----------------------------------------------------------------------


def segtune_image(case: Case) -> Tensor:
    """Returns the label map (H, W) by the way that `segtune segment` takes."""
    features = case.system.encode(case.pixels)
    (prediction,) = case.system.predict(features, case.words, [case.geometry])
    return torch.from_numpy(semantic(prediction, case.vocabulary).semantic)


def calls_of(case: Case) -> dict[tuple[str, str], Callable[[], Any]]:
    """Returns the calls that compute every part in both ways, from equal inputs."""
    system, clip, config = case.system, case.pair.clip, case.system.config
    prompts = system.mask_prompts
    assert prompts is not None
    height, width = case.geometry.resized_size
    image = case.pixels[0, :, :height, :width]
    mask_logits = case.pair.proposals.given.mask_logits[0]  # type: ignore[attr-defined]
    probs = plain_masks(mask_logits, case.geometry)
    regions = system.reader.cut(image, probs)
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(len(mask_logits), len(case.words.embeds), generator=generator) ** 4
    prediction = MaskPrediction(
        case.geometry, mask_logits=mask_logits, class_scores=scores, decision=SumAtResized()
    )
    templates = read_templates(case.templates)
    sentences = [templates.fill(name) for name in case.encoded.names]
    shared: dict[str, Any] = {"threshold": config.threshold}
    propose = partial(case.pair.proposals.propose, case.pixels)
    return {
        ("proposals", "plain"): propose,
        ("proposals", "segtune"): propose,
        ("regions", "plain"): partial(
            plain_regions, image, probs, size=clip.image_size, clip=clip, **shared
        ),
        ("regions", "segtune"): partial(system.reader.cut, image, probs),
        ("CLIP", "plain"): partial(plain_embeds, clip, regions.pixels, regions.masks, prompts),
        ("CLIP", "segtune"): partial(region_embeds, clip, regions.pixels, regions.masks, prompts),
        ("labels", "plain"): lambda: plain_labels(
            scores, plain_masks(mask_logits, case.geometry), case.geometry
        ),
        ("labels", "segtune"): lambda: label_from_masks(prediction).class_ids,
        ("image", "plain"): partial(
            plain_image,
            case.pair,
            case.pixels,
            case.words.embeds,
            prompts,
            case.geometry,
            weight=config.weight,
            **shared,
        ),
        ("image", "segtune"): partial(segtune_image, case),
        ("text", "plain"): partial(plain_text, clip, sentences),
        ("text", "segtune"): partial(
            embed_vocabulary, case.pair, case.encoded, templates, use_cache=False
        ),
    }


# -- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One part of one vocabulary, one way.

    Attributes:
        seconds, cpu_seconds: medians.
        memory_bytes: None where it was not measured.
    """

    part: str
    way: str
    classes: int
    macs: float
    seconds: float
    cpu_seconds: float
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Check:
    """One number and whether it is what it should be."""

    what: str
    value: float
    limit: str
    is_met: bool


def measure(
    classes: int, sizes: Sizes, *, repeats: int, options: list[str]
) -> tuple[list[Row], list[Check]]:
    """Returns the rows of one vocabulary, and how equal the results of both ways are."""
    case = make_case(classes, sizes)
    calls = calls_of(case)
    with torch.inference_mode():
        results = {key: call() for key, call in calls.items()}  # warms up, too
        seconds = interleaved_seconds(calls, repeats=repeats)
    macs = {key: count_macs(call) for key, call in calls.items()}
    rows = []
    for way in WAYS:
        for part in PARTS:
            scale = case.scale if part == "text" else 1
            memory = None
            if part in sizes.memory_of:
                printed = in_fresh_process(
                    __file__, *options, "--memory-of", part, way, str(classes)
                )
                memory = json.loads(printed)
            taken: Seconds = seconds[part, way]
            rows.append(
                Row(
                    part,
                    way,
                    classes,
                    scale * macs[part, way],
                    scale * taken.wall,
                    scale * taken.cpu,
                    memory,
                )
            )
        image, text = rows[-2], rows[-1]
        rows.append(
            Row(
                "with words",
                way,
                classes,
                image.macs + text.macs,
                image.seconds + text.seconds,
                image.cpu_seconds + text.cpu_seconds,
            )
        )
    return rows, agreement(results, classes)


def agreement(results: Mapping[tuple[str, str], Any], classes: int) -> list[Check]:
    """Returns how equal both ways are, part by part."""

    def apart(part: str, pick: Callable[[Any], Tensor]) -> float:
        plain, ours = (pick(results[part, way]).float() for way in WAYS)
        return (plain - ours).abs().max().item()

    labels = {
        part: (results[part, "plain"] == results[part, "segtune"]).float().mean().item()
        for part in ("labels", "image")
    }
    plain, ours = results["regions", "plain"], results["regions", "segtune"]
    distances = {
        "regions": (plain[0] - ours.pixels).abs().max().item(),
        "masks of regions": (plain[1] - ours.masks).abs().max().item(),
        "embeddings": apart("CLIP", lambda embeds: embeds),
        "text embeddings": apart("text", lambda embeds: embeds),
    }
    found = [
        Check(f"{name} apart at {classes}", value, "<= 1e-4", value <= 1e-4)
        for name, value in distances.items()
    ]
    for part, share in labels.items():
        found.append(
            Check(f"labels equal at {classes}, {part}", share, ">= 0.9999", share >= 0.9999)
        )
    return found


def memory_of(part: str, way: str, classes: int, sizes: Sizes) -> int | None:
    """Returns the bytes that a part adds at its highest; meant for a fresh process."""
    case = make_case(classes, sizes)
    call = calls_of(case)[part, way]
    side = case.pair.clip.image_size
    with torch.inference_mode():
        case.pair.proposals.propose(torch.zeros(1, 3, 64, 64))
        region_embeds(case.pair.clip, torch.zeros(1, 3, side, side))
        return peak_growth(call)


# -- reporting ---------------------------------------------------------------------------------


def checks(rows: list[Row]) -> list[Check]:
    """Returns the limits on the ratios of both ways, and on memory over vocabularies."""
    by_key = {(row.part, row.way, row.classes): row for row in rows}
    every = sorted({row.classes for row in rows})
    found = []
    for what, part, quantity, limit in LIMITS:
        for classes in every:
            ours, plain = (by_key[part, way, classes] for way in ("segtune", "plain"))
            value = getattr(ours, quantity) / getattr(plain, quantity)
            text = f"{what} at {classes}, segtune / plain"
            found.append(Check(text, value, f"<= {limit:.3g}", value <= limit))
    small, large = (by_key["labels", "segtune", classes] for classes in (every[0], every[-1]))
    if small.memory_bytes and large.memory_bytes:
        value = large.memory_bytes / small.memory_bytes
        what = f"peak memory of labels, segtune {every[-1]} / {every[0]}"
        found.append(Check(what, value, "<= 1.1", value <= 1.1))
    return found


def print_rows(rows: list[Row]) -> None:
    """Prints the table; every ratio is segtune's to the plain one of the same part."""
    by_key = {(row.part, row.way, row.classes): row for row in rows}
    cells = []
    for row in rows:
        if row.way != "plain":
            continue
        ours = by_key[row.part, "segtune", row.classes]
        memory = ["-"] * 3
        if row.memory_bytes and ours.memory_bytes:
            memory = [f"{r.memory_bytes / 1e6:.0f}" for r in (row, ours) if r.memory_bytes]
            memory.append(f"{ours.memory_bytes / row.memory_bytes:.3f}")
        cells.append(
            [
                row.part,
                str(row.classes),
                *(f"{r.macs / 1e9:.1f}" for r in (row, ours)),
                f"{ours.macs / row.macs:.3f}" if row.macs else "-",
                *(f"{r.seconds:.2f}" for r in (row, ours)),
                f"{ours.seconds / row.seconds:.3f}",
                *(f"{r.cpu_seconds:.2f}" for r in (row, ours)),
                f"{ours.cpu_seconds / row.cpu_seconds:.3f}",
                *memory,
            ]
        )
    header = ["part", "classes"]
    for what in ("GMAC", "seconds", "cpu s", "peak MB"):
        header += [f"{what} plain", "segtune", "ratio"]
    print_table(header, cells)


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark, or measures the memory of one row where a process was started for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs per row")
    parser.add_argument("--threads", type=int, help="default: what torch chooses")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    again = ["--quick"] if options.quick else []
    again += ["--threads", str(options.threads)] if options.threads else []
    if options.memory_of:
        part, way, classes = options.memory_of
        print(memory_of(part, way, int(classes), sizes) or "null")
        return
    rows: list[Row] = []
    found: list[Check] = []
    for classes in tqdm(sizes.vocabularies, disable=None, unit="vocabulary"):
        more, equal = measure(classes, sizes, repeats=options.repeats, options=again)
        rows, found = rows + more, found + equal
    case = make_case(next(iter(sizes.vocabularies)), sizes)
    masks = calls_of(case)["regions", "segtune"]().masks
    blank = 1 - shown_patches(masks, case.pair.clip.patch_size).float().mean().item()
    found = checks(rows) + found
    depth = case.system.config.prompt_depth
    notes = {
        "machine": machine(),
        "model": f"MaskFormer {sizes.maskformer.to_dict()['image_encoder']}, CLIP ViT "
        f"{dict(sizes.clip)}, random weights; mask prompts in {depth} layers; "
        f"{len(masks)} regions, {blank:.0%} of their patches blank; batch 1; {case.geometry}",
        "text": f"{case.templates} sentences of joined names, one token per word or mark; measured "
        f"on {dict(sizes.vocabularies)} of the classes, every n-th by length, and scaled up; "
        "plain: 77 tokens each; segtune: as many as the longest of a batch of similar length",
        "parts": "image: from pixels to label map, proposals included, words known on both sides; "
        "with words: image + text",
        "MACs": MAC_RULE,
        "seconds": f"median of {options.repeats} runs, both ways in turns; cpu s: processor time, "
        "summed over threads",
        "peak MB": MEMORY_RULE,
        "ratio": "segtune / plain",
    }
    for name, text in notes.items():
        print(f"{name}: {text}")
    print()
    print_rows(rows)
    print()
    for check in found:
        met = "met" if check.is_met else "NOT MET"
        print(f"{check.what}: {check.value:.6g} ({check.limit}) {met}")
    if options.json:
        report = {
            "notes": notes,
            "rows": [asdict(row) for row in rows],
            "checks": [asdict(check) for check in found],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
