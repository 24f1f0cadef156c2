"""What Uni-OVSeg's mask decoder costs, as published and in segtune.

    python benchmarks/mask_decoder_cost.py [--json FILE] [--quick]

Sizes of the released model, an image of 1024 x 1024, a grid of 400 points in chunks of 100, random
weights, the same inputs both ways. And masks of everything in segtune: grid, scores, suppression.
The published code enlarges all 1600 masks to the input first, whose size alone is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common import (
    MEMORY_RULE,
    Seconds,
    in_fresh_process,
    interleaved_seconds,
    machine,
    peak_growth,
    print_table,
)
from torch import Tensor

from segtune.backbones.clip_convnext.random import TINY as TINY_CLIP
from segtune.backbones.uniovseg.config import RELEASED, UniOvsegConfig
from segtune.backbones.uniovseg.everything import EverythingConfig, find_everything, grid_on
from segtune.backbones.uniovseg.mask_decoder_plain import decode_plainly
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.backbones.uniovseg.seen import Seen

WAYS = ("plain", "segtune")
"""Plain: every step as published."""
EVERYTHING = "everything"
LIMIT = 3.0
"""How many times faster segtune has to be, on the clock and in processor time."""
SURVIVORS = 0.25
"""Share of the masks that pass the scores: random weights are sure of none or all."""


@dataclass(frozen=True)
class Sizes:
    """What is measured; the image encoder is tiny, because only what follows it is."""

    config: UniOvsegConfig
    grid: int
    chunk: int

    @property
    def num_masks(self) -> int:
        """Masks of all points."""
        return self.grid**2 * self.config.num_granularities

    @property
    def enlarged_bytes(self) -> int:
        """Bytes of all masks as float32 at the size of the input."""
        return self.num_masks * self.config.canvas**2 * 4


FULL = Sizes(replace(RELEASED, clip=TINY_CLIP), 20, 100)
QUICK = Sizes(replace(TINY, canvas=128), 4, 8)


@dataclass(frozen=True)
class Row:
    """One way to decode, or everything."""

    way: str
    seconds: float
    cpu_seconds: float
    memory_bytes: int | None


def prepare(sizes: Sizes) -> tuple[UniOvseg, Seen]:
    """Returns the model and what it saw of a random image."""
    model = random_uniovseg(sizes.config)
    side = sizes.config.canvas
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255
    return model, model.see(pixels)


def calls_of(sizes: Sizes, model: UniOvseg, seen: Seen) -> dict[str, Callable[[], Any]]:
    """Returns the decoder in both ways, from equal inputs, and everything."""
    side = sizes.config.canvas
    points = grid_on([(side, side)], seen.size, (sizes.grid, sizes.grid))
    prompts = model.points(points, seen)
    starts = range(0, sizes.grid**2, sizes.chunk)
    chunks = [prompts.chunk(slice(start, start + sizes.chunk)) for start in starts]

    def plain() -> tuple[Tensor, Tensor]:
        found = [
            decode_plainly(model.masks, chunk, seen.levels, seen.mask_features)[0][-1]
            for chunk in chunks
        ]
        masks, ious = zip(*found, strict=True)
        return torch.cat(masks, 1), torch.cat(ious, 1)

    def own() -> tuple[Tensor, Tensor]:
        memory = model.masks.remember(seen.levels, seen.mask_features)
        answers = [model.masks(chunk, memory)[-1] for chunk in chunks]
        masks = [each.logits(seen.mask_features) for each in answers]
        return torch.cat(masks, 1), torch.cat([each.ious for each in answers], 1)

    threshold: list[float] = []

    def everything() -> int:
        if not threshold:
            ious = model.answer(prompts, seen, chunk=sizes.chunk).ious
            threshold.append(float(ious.quantile(1 - SURVIVORS)))
        config = EverythingConfig((sizes.grid, sizes.grid), threshold[0])
        (found,) = find_everything(model, seen, [(side, side)], config, chunk=sizes.chunk)
        return len(found.ious)

    return {"plain": plain, "segtune": own, EVERYTHING: everything}


def checks(seconds: Mapping[str, Seconds], results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the ratio against its limit, and how equal both ways are."""
    (plain, plain_ious), (own, own_ious) = (results[way] for way in WAYS)
    wall = seconds["plain"].wall / seconds["segtune"].wall
    cpu = seconds["plain"].cpu / seconds["segtune"].cpu
    apart = (plain - own).abs_().max().item()
    deviation = plain.std().item()
    same = ((plain >= 0) == (own >= 0)).float().mean().item()
    ious = (plain_ious - own_ious).abs().max().item()
    return [
        {"what": "times less processor time", "value": cpu, "limit": LIMIT, "met": cpu >= LIMIT},
        {"what": "times as fast", "value": wall, "limit": LIMIT, "met": wall >= LIMIT},
        {"what": "logits apart at most", "value": apart, "met": apart < 1e-3 * deviation + 1e-3},
        {"what": "deviation of logits", "value": deviation, "met": deviation > 0},
        {"what": "pixels of masks equal", "value": same, "met": same > 0.9999},
        {"what": "qualities apart at most", "value": ious, "met": ious < 1e-4},
    ]


@torch.inference_mode()
def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark, or measures the memory of one way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=1, help="timed runs per row")
    parser.add_argument("--threads", type=int, help="default: what torch chooses")
    parser.add_argument("--memory-of", choices=(*WAYS, EVERYTHING), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    if options.threads:
        torch.set_num_threads(options.threads)
    calls = calls_of(sizes, *prepare(sizes))
    if options.memory_of:
        print(peak_growth(calls[options.memory_of]) or "null")
        return
    results = {key: call() for key, call in calls.items()}
    seconds = interleaved_seconds(calls, repeats=options.repeats)
    found = checks(seconds, results)
    again = ["--quick"] if options.quick else []
    again += ["--threads", str(options.threads)] if options.threads else []
    kept = results.pop(EVERYTHING)
    results.clear()  # before other processes need the memory
    rows = []
    for key, taken in seconds.items():
        memory = json.loads(in_fresh_process(__file__, *again, "--memory-of", key))
        rows.append(Row(key, taken.wall, taken.cpu, memory))
    print_table(
        ["way", "seconds", "cpu s", "peak MB"],
        [
            [
                row.way,
                f"{row.seconds:.2f}",
                f"{row.cpu_seconds:.2f}",
                "-" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:.0f}",
            ]
            for row in rows
        ],
    )
    print()
    print_table(
        ["check", "value", "met"],
        [
            [check["what"], f"{check['value']:.4g}", "yes" if check["met"] else "NO"]
            for check in found
        ],
    )
    notes = {
        "machine": machine(),
        "memory": MEMORY_RULE,
        "sizes": sizes.config.to_dict(),
        "points": sizes.grid**2,
        "masks kept by everything": kept,
        "bytes of all masks at the input": sizes.enlarged_bytes,
    }
    print(
        f"\neverything keeps {kept} masks; all {sizes.num_masks} at the size of the input, as the "
        f"published code makes them, are {sizes.enlarged_bytes / 1e6:.0f} MB\n{notes['machine']}"
    )
    if options.json:
        report = {"notes": notes, "rows": [asdict(row) for row in rows], "checks": found}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
