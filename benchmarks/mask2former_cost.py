"""What Mask2Former costs after its image encoder, in transformers and in segtune.

    python benchmarks/mask2former_cost.py [--json FILE] [--quick]

Width 256, 9 decoder layers, 6 deformable ones, 100 queries, an image of 1024 x 1024; equal random
weights on both sides, carried over by segtune's own writer of folders for transformers. And a
training step of the decoder with 405 queries (those of SegPrompt) and 20 masks, its losses at 12544
points: with whole masks of every layer, as published, and with products of embeddings and features.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
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

from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.mask2former.config import Mask2FormerConfig
from segtune.backbones.mask2former.hf import save_for_hf
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.mask2former.random import random_mask2former
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss

PARTS = ("pixel decoder", "decoder", "training step")
WAYS = ("plain", "segtune")
"""Plain: transformers; for the training step, whole masks of every layer."""
LIMITS = {"pixel decoder": 1.4, "decoder": 1.6}
"""How many times as fast segtune has to be."""


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    config: Mask2FormerConfig
    side: int
    training_queries: int
    num_points: int
    num_masks: int = 20


SMALL_ENCODER = ResNetConfig((1, 1, 1, 1), stem=(64,), bottleneck=64, out=256, dilations=(1,))
"""Channels of an R-50; its layers are never run."""
FULL = Sizes(Mask2FormerConfig(SMALL_ENCODER), 1024, 405, 12544)
QUICK = Sizes(
    Mask2FormerConfig(
        ResNetConfig((1, 1, 1, 1), stem=(8,), bottleneck=4, out=16, dilations=(1,)),
        num_classes=5,
        num_queries=6,
        hidden=32,
        feedforward=48,
        decoder_layers=3,
        pixel_width=32,
        pixel_feedforward=40,
        pixel_layers=2,
        mask_dim=32,
        num_heads=4,
    ),
    128,
    20,
    64,
    3,
)


@dataclass(frozen=True)
class Row:
    """One part, one way."""

    part: str
    way: str
    seconds: float
    cpu_seconds: float
    memory_bytes: int | None = None


def maps_of(sizes: Sizes) -> list[Tensor]:
    """Returns what stands for the maps of an image encoder, res2..res5."""
    generator = torch.Generator().manual_seed(0)
    channels = sizes.config.image_encoder.out_channels
    sides = [sizes.side // stride for stride in (4, 8, 16, 32)]
    return [
        torch.randn(1, count, side, side, generator=generator)
        for count, side in zip(channels, sides, strict=True)
    ]


def in_transformers(model: Mask2Former) -> Any:
    """Returns the same weights as a model of transformers."""
    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(model, folder)
        return transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()


def inference_calls(sizes: Sizes) -> dict[tuple[str, str], Callable[[], Any]]:
    """Returns both decoders in both ways, from equal inputs."""
    model = random_mask2former(sizes.config)
    theirs, maps = in_transformers(model), maps_of(sizes)
    with torch.inference_mode():
        levels, mask_features = model.pixel_decoder(maps)
    queries = (model.decoder.query_content, model.decoder.query_position)
    module = theirs.model.transformer_module

    def decoder_of_transformers() -> tuple[Tensor, Tensor]:
        found = module(multi_scale_features=levels, mask_features=mask_features)
        states = found.intermediate_hidden_states[-1].transpose(0, 1)
        return theirs.class_predictor(states), found.masks_queries_logits[-1]

    def own_decoder() -> tuple[Tensor, Tensor]:
        found = model.decoder(model.decoder.prepare(levels, mask_features), *queries)
        assert found.class_logits is not None
        return found.class_logits, found.mask_logits

    return {
        ("pixel decoder", "plain"): lambda: theirs.model.pixel_level_module.decoder(maps),
        ("pixel decoder", "segtune"): lambda: model.pixel_decoder(maps),
        ("decoder", "plain"): decoder_of_transformers,
        ("decoder", "segtune"): own_decoder,
    }


def training_call(sizes: Sizes, way: str) -> Callable[[], float]:
    """Returns a step of the decoder, losses and gradients; the call returns the loss."""
    model = random_mask2former(sizes.config)
    with torch.inference_mode():
        levels, mask_features = model.pixel_decoder(maps_of(sizes))
    levels, mask_features = [level.clone() for level in levels], mask_features.clone()
    model.requires_grad_(True)
    generator = torch.Generator().manual_seed(1)
    count, hidden = sizes.training_queries, sizes.config.hidden
    group = QueryGroup(*torch.randn(2, count, hidden, generator=generator))
    shapes = torch.rand(sizes.num_masks, 1, 8, 8, generator=generator)
    masks = torch.nn.functional.interpolate(shapes, (sizes.side, sizes.side))[:, 0] > 0.7
    class_ids = torch.zeros(sizes.num_masks, dtype=torch.int64)
    config = SetLossConfig(num_points=sizes.num_points)

    def step() -> float:
        memory = model.decoder.prepare(levels, mask_features)
        if way == "plain":
            answers = model.decoder.answer(memory, [group], deep_supervision=True)[0]
            heads = []
            for found in (*answers.aux, answers):
                assert found.class_logits is not None
                heads.append(SetPrediction(found.class_logits, found.mask_logits))
        else:
            states = model.decoder.run(memory, [group], keep_all=True)[0]
            heads = model.supervised(memory, states)
        draws = torch.Generator().manual_seed(2)
        losses = set_loss(heads, [MaskTargets(class_ids, masks)], config, generator=draws)
        loss = torch.stack(list(losses.values())).sum()
        torch.autograd.backward(loss)
        for parameter in model.parameters():
            parameter.grad = None
        return float(loss.detach())

    return step


def checks(rows: list[Row], results: Mapping[tuple[str, str], Any]) -> list[dict[str, Any]]:
    """Returns ratios against their limits, and how equal both ways are."""
    by_key = {(row.part, row.way): row for row in rows}
    found = []
    for part, limit in LIMITS.items():
        value = by_key[part, "plain"].seconds / by_key[part, "segtune"].seconds
        found.append(
            {
                "what": f"{part}, times as fast",
                "value": value,
                "limit": limit,
                "met": value >= limit,
            }
        )
    classes, masks = zip(*(results["decoder", way] for way in WAYS), strict=True)
    same = ((masks[0] > 0) == (masks[1] > 0)).float().mean().item()
    apart = max((pair[0] - pair[1]).abs().max().item() for pair in (classes, masks))
    labels = (classes[0].argmax(-1) == classes[1].argmax(-1)).float().mean().item()
    plain, own = (results["pixel decoder", way] for way in WAYS)
    features = (plain.mask_features - own[1]).abs().max().item()
    losses = [results["training step", way] for way in WAYS]
    for what, value, met in (
        ("labels of queries equal", labels, labels > 0.99),
        ("pixels of masks equal", same, same > 0.999),
        ("logits apart", apart, apart < 1e-2),
        ("mask features apart", features, features < 1e-3),
        ("losses apart", abs(losses[0] - losses[1]), abs(losses[0] - losses[1]) < 1e-3 * losses[0]),
    ):
        found.append({"what": what, "value": value, "met": met})
    return found


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark, or measures the memory of one training step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs per row")
    parser.add_argument("--threads", type=int, help="default: what torch chooses")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.memory_of:
        print(peak_growth(training_call(sizes, options.memory_of)) or "null")
        return
    calls = inference_calls(sizes)
    with torch.inference_mode():
        results: dict[tuple[str, str], Any] = {key: call() for key, call in calls.items()}
        seconds: dict[tuple[str, str], Seconds] = interleaved_seconds(
            calls, repeats=options.repeats
        )
    steps = {("training step", way): training_call(sizes, way) for way in WAYS}
    results |= {key: call() for key, call in steps.items()}
    seconds |= interleaved_seconds(steps, repeats=options.repeats)
    again = ["--quick"] if options.quick else []
    again += ["--threads", str(options.threads)] if options.threads else []
    rows = []
    for part in PARTS:
        for way in WAYS:
            memory = None
            if part == "training step":
                memory = json.loads(in_fresh_process(__file__, *again, "--memory-of", way))
            taken = seconds[part, way]
            rows.append(Row(part, way, taken.wall, taken.cpu, memory))
    found = checks(rows, results)
    print_table(
        ["part", "way", "seconds", "cpu s", "peak MB"],
        [
            [
                row.part,
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
    notes = {"machine": machine(), "memory": MEMORY_RULE, "sizes": sizes.config.to_dict()}
    print(f"\n{notes['machine']}")
    if options.json:
        report = {"notes": notes, "rows": [asdict(row) for row in rows], "checks": found}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
