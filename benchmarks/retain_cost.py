"""What `retain=exact` costs per image: a second group of queries beside the learned ones.

    python benchmarks/retain_cost.py [--json FILE] [--model focal-t] [--threads 1]

Both ways answer the same image and the same words, half of which belong to the fit, in turns in one
run. Prompts are those of an SSPrompt before its first step; values change nothing about the cost.
`seem-tiny` is the bundled model; `focal-t` is SEEM Focal-T with random weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
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

from segtune.backbones.seem.config import SEEM_FOCAL_T
from segtune.backbones.seem.model import Seem, random_seem
from segtune.predict.pixels import segment_pixels
from segtune.predict.segmenter import load
from segtune.systems.base import Words
from segtune.systems.ssprompt.config import configure
from segtune.systems.ssprompt.model import PromptedSeem
from segtune.types import Resolution, Vocabulary

MODES = ("shared", "exact")
SIDES = {"seem-tiny": 224, "focal-t": 512}
"""Model -> shorter side of its input in pixels."""


class Case:
    """A model with prompts that answers one image."""

    def __init__(self, options: argparse.Namespace, retain: str) -> None:
        torch.manual_seed(0)
        if options.model == "seem-tiny":
            backbone = load("seem-tiny").backbone
        else:
            backbone = random_seem(SEEM_FOCAL_T)
        assert isinstance(backbone, Seem)
        names = tuple(f"word {i}" for i in range(options.words))
        self.vocabulary = Vocabulary.of(*names)
        embeds = torch.nn.functional.normalize(
            torch.randn(options.words + 1, backbone.joint_width), dim=-1
        )
        self.words = Words(embeds[:-1], names=names, background=embeds[-1])
        config = configure("ssprompt", {"retain": retain, "classes": names[: len(names) // 2]})
        self.system = PromptedSeem(backbone, config)
        self.system.start(self.words, seed=0)
        side = SIDES[options.model]
        random = np.random.default_rng(0)
        self.image = random.integers(0, 256, (side, side * 4 // 3, 3), dtype=np.uint8)

    def answer(self, image: np.ndarray | None = None) -> None:
        """Goes from pixels to the label map."""
        image = self.image if image is None else image
        short = min(image.shape[:2])
        resolution = Resolution(short, None, short)
        segment_pixels(self.system, image, self.words, self.vocabulary, resolution=resolution)


def measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Returns operations, seconds and peak memory of both ways."""
    cases = {mode: Case(options, mode) for mode in MODES}
    macs = {mode: count_macs(case.answer) for mode, case in cases.items()}
    seconds = interleaved_seconds(
        {mode: case.answer for mode, case in cases.items()}, repeats=options.repeats
    )
    again = ["--model", options.model, "--words", str(options.words)]
    again += ["--threads", str(options.threads)] * bool(options.threads)
    memory = {
        mode: json.loads(in_fresh_process(__file__, "--peak", mode, *again)) for mode in MODES
    }
    return {
        mode: {
            "macs": macs[mode],
            "seconds": seconds[mode].wall,
            "cpu_seconds": seconds[mode].cpu,
            "memory_bytes": memory[mode],
        }
        for mode in MODES
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=SIDES, default="seem-tiny")
    parser.add_argument("--words", type=int, default=48, help="asked for; half are of the fit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the table here")
    parser.add_argument("--peak", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak:
        case = Case(options, options.peak)
        case.answer(case.image[: case.system.stride * 2, : case.system.stride * 2])
        print(json.dumps(peak_growth(case.answer)))
        return
    rows = measure(options)
    print(f"{options.model}, {options.words} words, from pixels to the label map; {machine()}")
    print(f"MACs: {MAC_RULE}\npeak MB: {MEMORY_RULE}\n")
    plain = rows["shared"]
    cells = []
    for mode, row in rows.items():
        memory, ratio = "-", "-"
        if row["memory_bytes"] and plain["memory_bytes"]:
            memory = f"{row['memory_bytes'] / 1e6:.1f}"
            ratio = f"{row['memory_bytes'] / plain['memory_bytes']:.3f}"
        cells.append(
            (
                f"retain={mode}",
                f"{row['macs'] / 1e9:.3f}",
                f"{row['macs'] / plain['macs']:.3f}",
                f"{row['cpu_seconds']:.3f}",
                f"{row['cpu_seconds'] / plain['cpu_seconds']:.3f}",
                memory,
                ratio,
            )
        )
    print_table(("row", "GMAC", "ratio", "cpu s", "ratio", "peak MB", "ratio"), cells)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
