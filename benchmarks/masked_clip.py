"""Regions through CLIP with mask prompts: the plain path against the fast one, which is exact.

    python benchmarks/masked_clip.py [--regions 100] [--depth 3] [--threads 1] [--json FILE]

Random weights of the size of ViT-B/16 (or --width 1024 --layers 24 --patch 14 for L/14). Half of
the patches are blank on average; the share differs by region, from a tenth to nine tenths. Both
paths go through the regions in chunks of the same size, and take turns.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from common import MAC_RULE, count_macs, interleaved_seconds, machine, print_table

from segtune.backbones.clip.masked import region_embeds, shown_patches
from segtune.backbones.clip.random import random_clip_vit

PATHS = ("plain", "fast")


def main() -> None:
    """Prints multiply-adds, seconds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, default=100)
    parser.add_argument("--depth", type=int, default=3, help="layers with mask prompts")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clip = random_clip_vit(
        width=options.width,
        layers=options.layers,
        heads=options.width // 64,
        image_size=options.side,
        patch_size=options.patch,
        joint_width=options.width * 2 // 3,
    )
    pixels, masks = regions(options.regions, options.side, options.patch)
    num_patches = (options.side // options.patch) ** 2
    prompts = 0.02 * torch.randn(options.depth, num_patches, options.width)
    calls = {
        path: lambda path=path: region_embeds(clip, pixels, masks, prompts, path=path)
        for path in PATHS
    }
    with torch.no_grad():
        embeds = {path: call() for path, call in calls.items()}
        macs = {path: count_macs(call) for path, call in calls.items()}
        seconds = interleaved_seconds(calls, repeats=options.repeats)
    row = {
        "machine": machine(),
        "blank": 1 - shown_patches(masks, options.patch).float().mean().item(),
        "largest_difference": (embeds["fast"] - embeds["plain"]).abs().max().item(),
        "macs": macs,
        "macs_ratio": macs["fast"] / macs["plain"],
        "cpu_seconds": {path: seconds[path].cpu for path in PATHS},
        "cpu_ratio": seconds["fast"].cpu / seconds["plain"].cpu,
        "wall_ratio": seconds["fast"].wall / seconds["plain"].wall,
    }
    print(f"{row['machine']}; {options.regions} regions, {row['blank']:.0%} of patches blank")
    print(f"{MAC_RULE}\nlargest difference of embeddings {row['largest_difference']:.1e}")
    cells = [
        (path, f"{macs[path] / 1e9:.1f}", f"{seconds[path].cpu:.2f}", f"{seconds[path].wall:.2f}")
        for path in PATHS
    ]
    ratios = (row["macs_ratio"], row["cpu_ratio"], row["wall_ratio"])
    cells.append(("fast / plain", *(f"{ratio:.3f}" for ratio in ratios)))
    print_table(("path", "G MAC", "processor s", "wall s"), cells)
    if options.json:
        options.json.write_text(json.dumps(row, indent=2) + "\n")


def regions(count: int, side: int, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns (R, 3, S, S) pixels and (R, S, S) masks of whole patches, at random places."""
    generator = torch.Generator().manual_seed(0)
    grid = side // patch
    masks = torch.zeros(count, grid * grid)
    for number, mask in enumerate(masks):
        share = 0.1 + 0.8 * (number + 0.5) / count
        mask[torch.randperm(grid * grid, generator=generator)[: round(share * grid * grid)]] = 1
    masks = masks[torch.randperm(count, generator=generator)].view(-1, grid, grid)
    masks = masks.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return torch.randn(count, 3, side, side, generator=generator) * masks[:, None], masks


if __name__ == "__main__":
    main()
