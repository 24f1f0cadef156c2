"""What RPN and ZegCLIP cost per image, as their code was released and as segtune computes them.

    python benchmarks/rpn_cost.py [--json FILE] [--quick]

CLIP ViT-B/16 with random weights, one 512 x 512 crop of a 512 x 683 image, 20, 171 and 847 classes.
"released" follows the published code of both projects (RPN, Li et al., NeurIPS 2024; ZegCLIP, Zhou
et al., CVPR 2023) on the same frozen layers and learned numbers, so that nothing but the
formulation differs. The text embeddings are given in both. Left out of "released" to be fair:
its text encoder inside the loop, sequence-first copies and unused modules that cost parameters only.
"""

from __future__ import annotations

import argparse
import json
import statistics
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
from torch import Tensor

from segtune.backbones.clip_vit import ClipVit, random_clip_vit
from segtune.ops.postprocess import semantic
from segtune.systems.base import Words
from segtune.systems.rpn import RELEASED, ZEGCLIP, PromptedClip
from segtune.systems.rpn.encoder import normalise
from segtune.systems.rpn.heads import MaskDecoder
from segtune.systems.rpn.model import IMAGENET_MEAN, IMAGENET_STD
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
    dict(width=768, layers=12, heads=12, image_size=512, patch_size=16, joint_width=512),
    (512, 683),
    ((20, 10), (171, 100), (847, 100)),
)
QUICK = Sizes(
    dict(width=64, layers=3, heads=4, image_size=64, patch_size=16, joint_width=32),
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


# -- as segtune computes it --------------------------------------------------------------------


def segtune_logits(case: Case) -> Tensor:
    """Returns logits (K, h, w)."""
    return case.system(case.system.encode(case.pixels), case.words)[0]


def segtune_labels(case: Case) -> Tensor:
    """Returns the label map (H, W) by the way that `segtune segment` takes."""
    features = case.system.encode(case.pixels)
    (prediction,) = case.system.predict(features, case.words, [case.geometry])
    return torch.from_numpy(semantic(prediction, case.vocabulary).semantic)


# -- as the code was released ------------------------------------------------------------------


def released_encoder(system: PromptedClip, pixels: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Returns class (1, k) and patch tokens (1, N, k): prompts are tokens of every layer.

    The prompt projection and, in RPN, the joint space are computed for every prompt in every layer,
    and a relationship prompt is made even after the last layer.
    """
    clip, prompts = system.backbone, system.prompts
    tokens = clip.embed(pixels, class_embedding_twice=True)  # (1, 1 + N, d)
    num_patches = tokens.shape[1] - 1
    relation = tokens[:, :0]  # (1, K, d) after the first layer
    for index in range(clip.num_layers):
        beside = prompts.projection(torch.cat([prompts.static[index][None], relation], 1))
        tokens = torch.cat([tokens[:, :1], beside, tokens[:, -num_patches:]], 1)
        tokens = clip.layer(index)(tokens, None)
        if system.config.relationship:
            joint = clip.to_joint(prompts.norm(tokens))
            attention = joint[:, -num_patches:] @ (text * joint[:, :1]).mT  # (1, N, K)
            relation = attention.mT @ prompts.knowledge[0]
    if not system.config.relationship:
        joint = clip.to_joint(prompts.norm(tokens))
    return joint[:, 0], joint[:, -num_patches:]


def released_decoder(head: MaskDecoder, cls: Tensor, patches: Tensor, text: Tensor) -> Tensor:
    """Returns ZegCLIP's logits (1, N, K): all three layers in full, attention written out."""
    queries = head.query(torch.cat([text * cls[:, None], text[None]], -1))  # (1, K, k)
    for layer in head.layers:
        query, key, value = (
            part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
            for part in (layer.q(queries), layer.k(patches), layer.v(patches))
        )
        attention = query @ key.mT / query.shape[-1] ** 0.5  # (1, heads, K, N)
        mixed = (attention.softmax(-1) @ value).transpose(1, 2).flatten(2)
        queries = layer.norm2(queries + layer.proj(mixed))
        queries = layer.norm3(queries + layer.linear2(layer.linear1(queries).relu()))
    return attention.mean(1).mT


def released_logits(case: Case) -> Tensor:
    """Returns logits (K, h, w)."""
    system, text = case.system, case.words.embeds
    grid = system.backbone.grid(*case.pixels.shape[-2:])
    pixels = normalise(case.pixels, IMAGENET_MEAN, IMAGENET_STD)
    cls, patches = released_encoder(system, pixels, text)
    if system.config.head == "decoder":
        logits = released_decoder(system.prompts.head, cls, patches, text)
    else:
        logits = system.prompts.head(cls, patches, text)
    return logits[0].T.contiguous().unflatten(1, grid)


def released_labels(case: Case) -> Tensor:
    """Returns the label map (H, W) by way of full-size probabilities of all classes at once."""
    size, original = case.geometry.input_size, case.geometry.original_size
    planes = F.interpolate(released_logits(case)[None], size, mode="bilinear").sigmoid()
    return F.interpolate(planes, original, mode="bilinear")[0].argmax(0)


FORMULATIONS: dict[str, tuple[Run, Run]] = {
    "released": (released_logits, released_labels),
    "segtune": (segtune_logits, segtune_labels),
}


# -- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        trainable: learned numbers that the forward pass uses.
        seconds: median wall time from pixels to label map.
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
    seconds_min: float
    memory_bytes: int | None
    logits_apart: float
    probs_apart: float
    labels_equal: float


@torch.inference_mode()
def measure(
    classes: int, sizes: Sizes, clip: ClipVit, *, repeats: int, options: list[str]
) -> list[Row]:
    """Returns the four rows of one vocabulary size."""
    cases = {family: make_case(family, classes, sizes, clip) for family in FAMILIES}
    outputs = {
        (family, formulation): (logits(case), labels(case))
        for family, case in cases.items()
        for formulation, (logits, labels) in FORMULATIONS.items()
    }
    calls = {
        (family, formulation): partial(labels, case)
        for family, case in cases.items()
        for formulation, (_, labels) in FORMULATIONS.items()
    }
    seconds = interleaved_seconds(calls, repeats=repeats)
    rows = []
    for key, (logits, labels) in outputs.items():
        family, formulation = key
        plain_logits, plain_labels = outputs[family, "released"]
        memory = in_fresh_process(__file__, *options, "--memory-of", *key, str(classes))
        rows.append(
            Row(
                *key,
                classes=classes,
                static_prompts=dict(sizes.vocabularies)[classes],
                trainable=cases[family].system.num_learned(),
                macs=count_macs(partial(FORMULATIONS[formulation][0], cases[family])),
                seconds=statistics.median(seconds[key]),
                seconds_min=min(seconds[key]),
                memory_bytes=json.loads(memory),
                logits_apart=(logits - plain_logits).abs().max().item(),
                probs_apart=(logits.sigmoid() - plain_logits.sigmoid()).abs().max().item(),
                labels_equal=(labels == plain_labels).float().mean().item(),
            )
        )
    return rows


@torch.inference_mode()
def memory_of(family: str, formulation: str, classes: int, sizes: Sizes) -> int | None:
    """Returns the bytes that one inference adds at its highest; meant for a fresh process."""
    clip = random_clip_vit(**sizes.tower)
    case = make_case(family, classes, sizes, clip)
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
                memory,
                ratio,
                f"{row.logits_apart:.0e}",
                f"{row.probs_apart:.0e}",
                f"{100 * row.labels_equal:.3f}",
            ]
        )
    header = "model,classes,static,trainable,GMAC,ratio,seconds,ratio,peak MB,ratio"
    print_table([*header.split(","), "logits apart", "probs apart", "labels equal %"], cells)


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark, or measures the memory of one row where a process was started for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs per row")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    transformers.logging.set_verbosity_error()
    if options.memory_of:
        family, formulation, classes = options.memory_of
        print(memory_of(family, formulation, int(classes), sizes) or "null")
        return
    clip = random_clip_vit(**sizes.tower)
    again = ["--quick"] if options.quick else []
    rows = []
    for classes, _ in sizes.vocabularies:
        rows += measure(classes, sizes, clip, repeats=options.repeats, options=again)
    found = checks(rows)
    notes = {
        "machine": machine(),
        "model": f"CLIP ViT, random weights, {sizes.tower}; image {sizes.original}; batch 1; text "
        "embeddings, keys and values of static prompts and the folded projection are computed once",
        "MACs": MAC_RULE + "; pixels to logits",
        "seconds": f"pixels to label map, median of {options.repeats} runs, models in turns",
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
