"""What RPN and ZegCLIP cost per image, as their code was released and as segtune computes them.

    python benchmarks/rpn_cost.py [--json FILE] [--quick]

CLIP ViT-B/16 with random weights, one 512 x 512 crop of a 512 x 683 image, 20, 171 and 847 classes.
"released" is the formulation of both projects' published code, written out in `rpn_released.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from common import (
    MAC_RULE,
    MEMORY_RULE,
    count_macs,
    in_fresh_process,
    interleaved_seconds,
    machine,
    peak_growth,
    print_table,
)
from rpn_released import released_labels, released_logits, released_num_trainable
from torch import Tensor
from tqdm import tqdm

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.clip.random import random_clip_vit
from segtune.ops.postprocess import semantic
from segtune.systems.base import Words
from segtune.systems.rpn.config import RELEASED, ZEGCLIP
from segtune.systems.rpn.model import PromptedClip
from segtune.types import Geometry, Vocabulary

FAMILIES = {"RPN": RELEASED, "ZegCLIP": ZEGCLIP}
Run = Callable[["Case"], Tensor]


@dataclass(frozen=True)
class Sizes:
    """The tower, the original image, and (classes, static prompts per layer) of every block."""

    tower: dict[str, int]
    original: tuple[int, int]
    vocabularies: tuple[tuple[int, int], ...]


FULL = Sizes(
    {"width": 768, "layers": 12, "heads": 12, "image_size": 512, "patch_size": 16}
    | {"joint_width": 512},
    (512, 683),
    ((20, 10), (171, 100), (847, 100)),
)
QUICK = Sizes(
    {"width": 64, "layers": 3, "heads": 4, "image_size": 64, "patch_size": 16}
    | {"joint_width": 32},
    (64, 85),
    ((1, 2), (7, 4), (40, 4)),
)

LIMITS = {  # RPN, segtune against released: (classes, what) -> at most
    (171, "MACs"): 0.81,
    (847, "MACs"): 0.57,
    (171, "time"): 0.90,
    (847, "time"): 0.75,
}


@dataclass(frozen=True)
class Case:
    """A model with its words and one image."""

    system: PromptedClip
    words: Words
    vocabulary: Vocabulary
    pixels: Tensor  # (1, 3, H, W), 0..255
    geometry: Geometry


def make_case(family: str, classes: int, sizes: Sizes, clip: ClipVit) -> Case:
    """Returns the case of one family and vocabulary size; the same call gives the same numbers."""
    side, grid = clip.image_size, clip.image_size // clip.patch_size
    static = dict(sizes.vocabularies)[classes]
    config = replace(FAMILIES[family], static_tokens=static, train_grid=(grid, grid))
    random = torch.Generator().manual_seed(0)
    text = F.normalize(torch.randn(classes, clip.joint_width, generator=random), dim=-1)
    return Case(
        system=PromptedClip(clip, config),
        words=Words(text),
        vocabulary=Vocabulary.of(*(f"class {i}" for i in range(classes))),
        pixels=255 * torch.rand(1, 3, side, side, generator=random),
        geometry=Geometry(sizes.original, (side, side), (side, side)),
    )


# -- the two formulations -----------------------------------------------------------------------


def segtune_logits(case: Case) -> Tensor:
    """Returns logits (K, h, w)."""
    return case.system(case.system.encode(case.pixels), case.words)[0]


def segtune_labels(case: Case) -> Tensor:
    """Returns the label map (H, W) by the way that `segtune segment` takes."""
    features = case.system.encode(case.pixels)
    (prediction,) = case.system.predict(features, case.words, [case.geometry])
    return torch.from_numpy(semantic(prediction, case.vocabulary).semantic)


def released_case_logits(case: Case) -> Tensor:
    """Returns logits (K, h, w)."""
    return released_logits(case.system, case.pixels, case.words.embeds)


def released_case_labels(case: Case) -> Tensor:
    """Returns the label map (H, W)."""
    return released_labels(released_case_logits(case), case.geometry)


FORMULATIONS: dict[str, tuple[Run, Run]] = {
    "released": (released_case_logits, released_case_labels),
    "segtune": (segtune_logits, segtune_labels),
}


# -- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        trainable: parameters; in the published code some of them are never read.
        seconds, cpu_seconds: from pixels to label map.
        memory_bytes: None where the system cannot tell.
        logits_apart, probs_apart: largest difference from the released formulation.
        labels_equal: share of pixels with the same label.
    """

    family: str
    formulation: str
    classes: int
    static_prompts: int
    trainable: int
    macs: int
    seconds: float
    cpu_seconds: float
    memory_bytes: int | None
    logits_apart: float
    probs_apart: float
    labels_equal: float


def measure(
    classes: int, sizes: Sizes, clip: ClipVit, *, repeats: int, options: list[str]
) -> list[Row]:
    """Returns the four rows of one vocabulary size; `options` are those of the fresh processes."""
    cases = {family: make_case(family, classes, sizes, clip) for family in FAMILIES}
    keys = [(family, formulation) for family in FAMILIES for formulation in FORMULATIONS]
    logits_of = {(f, form): partial(FORMULATIONS[form][0], cases[f]) for f, form in keys}
    labels_of = {(f, form): partial(FORMULATIONS[form][1], cases[f]) for f, form in keys}
    with torch.inference_mode():
        outputs = {key: (logits_of[key](), labels_of[key]()) for key in keys}  # warms up, too
        seconds = interleaved_seconds(labels_of, repeats=repeats)
    rows = []
    for family, formulation in keys:
        key = (family, formulation)
        is_released = formulation == "released"
        count_trainable = released_num_trainable if is_released else PromptedClip.num_learned
        (logits, labels), (plain_logits, plain_labels) = outputs[key], outputs[family, "released"]
        memory = in_fresh_process(__file__, *options, "--memory-of", *key, str(classes))
        rows.append(
            Row(
                family,
                formulation,
                classes=classes,
                static_prompts=dict(sizes.vocabularies)[classes],
                trainable=count_trainable(cases[family].system),
                macs=count_macs(logits_of[key]),
                seconds=seconds[key].wall,
                cpu_seconds=seconds[key].cpu,
                memory_bytes=json.loads(memory),
                logits_apart=(logits - plain_logits).abs().max().item(),
                probs_apart=(logits.sigmoid() - plain_logits.sigmoid()).abs().max().item(),
                labels_equal=(labels == plain_labels).float().mean().item(),
            )
        )
    return rows


def memory_of(family: str, formulation: str, classes: int, sizes: Sizes) -> int | None:
    """Returns the bytes that one inference adds at its highest; meant for a fresh process."""
    clip = random_clip_vit(**sizes.tower)
    case = make_case(family, classes, sizes, clip)
    with torch.inference_mode():
        clip.hidden_states(clip.embed(torch.zeros(1, 3, clip.patch_size, clip.patch_size)))
        return peak_growth(partial(FORMULATIONS[formulation][1], case))


# -- reporting ---------------------------------------------------------------------------------


def checks(rows: list[Row]) -> list[tuple[str, float, str, bool]]:
    """Returns (what, value, limit in words, is met) for RPN; where a size was not run, nothing."""
    by_key = {(row.family, row.formulation, row.classes): row for row in rows}
    found = []
    for (classes, what), limit in LIMITS.items():
        if ("RPN", "segtune", classes) in by_key:
            ours, plain = by_key["RPN", "segtune", classes], by_key["RPN", "released", classes]
            value = ours.macs / plain.macs if what == "MACs" else ours.seconds / plain.seconds
            found.append(
                (f"{what} at {classes}, segtune / released", value, f"<= {limit}", value <= limit)
            )
    small, large = (by_key.get(("RPN", "segtune", classes)) for classes in (171, 847))
    if small and large and small.memory_bytes and large.memory_bytes:
        value = large.memory_bytes / small.memory_bytes
        found.append(("peak memory, segtune 847 / 171", value, "<= 1.3", value <= 1.3))
    for what in ("logits_apart", "probs_apart"):
        value = max(getattr(row, what) for row in rows)
        found.append((what.replace("_", " "), value, "<= 1e-5", value <= 1e-5))
    value = min(row.labels_equal for row in rows)
    found.append(("labels equal", value, ">= 0.9999", value >= 0.9999))
    return found


def print_rows(rows: list[Row]) -> None:
    """Prints the table; every ratio is to the released formulation in the row above."""
    cells = []
    for row in rows:
        plain = next(
            other
            for other in rows
            if (other.family, other.classes, other.formulation)
            == (row.family, row.classes, "released")
        )
        memory, ratio = "-", "-"
        if row.memory_bytes and plain.memory_bytes:
            memory = f"{row.memory_bytes / 1e6:.0f}"
            ratio = f"{row.memory_bytes / plain.memory_bytes:.3f}"
        cells.append(
            [
                f"{row.family} {row.formulation}",
                str(row.classes),
                str(row.static_prompts),
                f"{row.trainable:,}",
                f"{row.macs / 1e9:.1f}",
                f"{row.macs / plain.macs:.3f}",
                f"{row.seconds:.2f}",
                f"{row.seconds / plain.seconds:.3f}",
                f"{row.cpu_seconds:.2f}",
                f"{row.cpu_seconds / plain.cpu_seconds:.3f}",
                memory,
                ratio,
                f"{row.logits_apart:.0e}",
                f"{100 * row.labels_equal:.3f}",
            ]
        )
    header = "model,classes,static,trainable,GMAC,ratio,seconds,ratio,cpu s,ratio,peak MB,ratio"
    print_table([*header.split(","), "logits apart", "labels equal %"], cells)


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark, or measures the memory of one row where a process was started for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs per row")
    parser.add_argument("--threads", type=int, help="default: what torch chooses")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.memory_of:
        family, formulation, classes = options.memory_of
        print(memory_of(family, formulation, int(classes), sizes) or "null")
        return
    clip = random_clip_vit(**sizes.tower)
    again = ["--quick"] if options.quick else []
    rows = []
    for classes, _ in tqdm(sizes.vocabularies, disable=None, unit="vocabulary"):
        rows += measure(classes, sizes, clip, repeats=options.repeats, options=again)
    found = checks(rows)
    notes = {
        "machine": machine(),
        "model": f"CLIP ViT, random weights, {sizes.tower}; image {sizes.original}; batch 1; text "
        "embeddings, keys and values of static prompts and the folded projection are computed once",
        "MACs": MAC_RULE + "; pixels to logits",
        "seconds": f"pixels to label map, median of {options.repeats} runs, models in turns; "
        "cpu s: processor time, summed over threads",
        "peak MB": MEMORY_RULE,
        "ratio": "to the released formulation",
    }
    for name, text in notes.items():
        print(f"{name}: {text}")
    print()
    print_rows(rows)
    print()
    for what, value, limit, is_met in found:
        print(f"{what}: {value:.6g} ({limit}) {'met' if is_met else 'NOT MET'}")
    if options.json:
        report = {"notes": notes, "rows": [asdict(row) for row in rows], "checks": found}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
