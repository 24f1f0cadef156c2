"""What a training step of CoOp, LOCN, SSPrompt and SemPrompt costs on SEEM, plain and cached.

    python benchmarks/prompt_fit_cost.py [--json FILE] [--size 512] [--classes 150] [--tiny]

SEEM Focal-T with random weights, one random image of 512 x 688 with random labels, ADE20K-150. The
paper's table: CoOp 87.5 ms and 8.22 GB, LOCN 89.5 and 8.22, SSPrompt 56.0 and 3.82 on an unnamed
GPU; only ratios compare. "As published" is the text encoder over all 77 positions. Everything else
is the same code in all rows: the frozen image side runs without gradients, because neither CoOp's
nor LOCN's reach it, and the same loss is taken on the stride of the masks.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from common import MAC_RULE, in_fresh_process, machine, peak_growth, print_table
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)
from tqdm import tqdm

from segtune.backbones.decoder_memory import DecoderMemory
from segtune.backbones.seem import TINY, Seem, random_seem
from segtune.backbones.seem_config import SEEM_FOCAL_T, SeemConfig
from segtune.backbones.seem_text import NORM_EPSILON, SeemText
from segtune.systems.base import Targets, Words
from segtune.systems.ssprompt import PromptedSeem, configure
from segtune.train.views import EncodedViews, ViewConfig, Views, encode, rounded_up, same_size
from segtune.types import Features, Sample, Vocabulary
from segtune.vocabulary.builtin import builtin

What = Literal["time", "memory"]

MEMORY_RULE = (
    "growth of the resident set of a fresh process: its highest point during the first training "
    "step (image side where it is not cached, text side, forward, backward, optimiser) minus the "
    "level before it, after model, prompts and cache were built and a tiny image was encoded; "
    "weights and cache are not in it; the C library returns freed blocks at once"
)
EQUAL = 1e-5
"""Largest difference of losses, and of gradients in parts of the largest entry."""


@dataclass(frozen=True)
class Recipe:
    """What one row runs.

    Attributes:
        system: preset of `segtune.systems.ssprompt`.
        is_full_length: the text encoder runs over its whole context, as published.
        cache: "features" is the pool of `segtune.train.views`; "keys" adds keys and values of the
            decoder; "none" runs the image side in every step.
    """

    label: str
    system: str
    is_full_length: bool = False
    cache: Literal["none", "features", "keys"] = "none"


PLAIN = "coop_full"
RECIPES = {
    PLAIN: Recipe("CoOp, all 77 tokens (as published)", "coop", is_full_length=True),
    "locn_full": Recipe("LOCN, all 77 tokens (as published)", "locn", is_full_length=True),
    "coop_cut": Recipe("CoOp, truncated (ours)", "coop"),
    "locn_cut": Recipe("LOCN, truncated (ours)", "locn"),
    "ssprompt": Recipe("SSPrompt, no cache", "ssprompt"),
    "ssprompt_cached": Recipe("SSPrompt, cached", "ssprompt", cache="features"),
    "ssprompt_keys": Recipe("SSPrompt, cached keys/values", "ssprompt", cache="keys"),
    "semprompt": Recipe("SemPrompt, no cache", "semprompt"),
    "semprompt_cached": Recipe("SemPrompt, cached", "semprompt", cache="features"),
}
EQUAL_PAIRS = (
    ("coop_cut", "coop_full"),
    ("locn_cut", "locn_full"),
    ("ssprompt_cached", "ssprompt"),
    ("ssprompt_keys", "ssprompt"),
    ("semprompt_cached", "semprompt"),
)
LIMITS = {  # relative to CoOp as published: (row, what) -> at most
    ("ssprompt", "seconds"): 0.60,
    ("ssprompt", "memory_bytes"): 0.45,
    ("ssprompt_cached", "seconds"): 0.20,
    ("ssprompt_cached", "memory_bytes"): 0.20,
    ("semprompt_cached", "seconds"): 0.01,
}


@dataclass(frozen=True)
class Sizes:
    """The model, (height, width) of the image, and how many classes of ADE20K-150."""

    model: SeemConfig
    image: tuple[int, int]
    classes: int


# -- model, words and image -----------------------------------------------------------------------


class WordTokenizer:
    """Stands in for CLIP's: a token per word or mark, two from nine letters on, and so forth."""

    def __init__(self, vocab_size: int) -> None:
        self.start, self.end = vocab_size - 2, vocab_size - 1

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        words = sentence.replace(".", " .").split()
        pieces = [word[i : i + 8] for word in words for i in range(0, len(word), 8)]
        ids = [crc32(piece.encode()) % self.start for piece in pieces]
        return {"input_ids": [self.start, *ids, self.end]}


class FullLengthText(SeemText):
    """Runs over its whole context whatever the sentences' length, as CoOp and LOCN do."""

    def encode_embeddings(self, embeds: Tensor, end: Tensor) -> Tensor:
        """See `SeemText.encode_embeddings`."""
        missing = self.config.context_length - embeds.shape[1]
        padding = self.token_embedding(torch.full((len(embeds), missing), self.end_id))
        hidden = self.hidden_states(torch.cat([embeds, padding], 1))
        features = hidden[torch.arange(len(end)), end] @ self.projection
        return features / (features.norm(dim=-1, keepdim=True) + NORM_EPSILON)


class WithKeys(PromptedSeem):
    """A prompted SEEM that stores the keys and values of its decoder with the features."""

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """See `PromptedSeem.encode`."""
        features = super().encode(pixels)
        memory = DecoderMemory.from_tensors(features.tensors)
        return replace(features, tensors=self.backbone.decoder.with_keys(memory).tensors())


class OneImage:
    """A dataset of one random image with random labels on squares of 16 pixels."""

    name, split = "random", "train"

    def __init__(self, sizes: Sizes, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        random = np.random.default_rng(0)
        height, width = sizes.image
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        coarse = random.integers(0, sizes.classes, (-(-height // 16), -(-width // 16)))
        labels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
        self._sample = Sample("0", image, labels.astype(np.int32))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return [self._sample][index]

    def sample_id(self, index: int) -> str:
        """Returns the name of the sample."""
        return self[index].id


@dataclass(frozen=True)
class Case:
    """A system ready to be trained.

    Attributes:
        batch: returns features and targets of the image, from the cache or by the frozen model.
        cache_bytes: what the cache holds for the image.
    """

    system: PromptedSeem
    words: Words
    batch: Callable[[], tuple[Features, Targets]]
    optimizer: torch.optim.Optimizer
    cache_bytes: int

    def gradients(self) -> dict[str, Tensor]:
        """Returns the gradient of every learned tensor."""
        named = self.system.prompts.named_parameters()
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}


def make_case(recipe: Recipe, sizes: Sizes) -> Case:
    """Returns the case of a recipe; model, words, image and prompts are the same in all."""
    seem = random_seem(sizes.model)
    seem.tokenizer = WordTokenizer(sizes.model.text.vocab_size)
    if recipe.is_full_length:
        seem.text = full_length(seem)
    vocabulary = Vocabulary(builtin("ade20k_150").concepts[: sizes.classes])
    names = vocabulary.names
    random = torch.Generator().manual_seed(1)
    text = F.normalize(torch.randn(len(names) + 1, seem.joint_width, generator=random), dim=-1)
    words = Words(text[:-1], names=names, background=text[-1])
    kind = WithKeys if recipe.cache == "keys" else PromptedSeem
    system = kind(seem, configure(recipe.system, {"classes": names}), name=recipe.system)
    system.start(words, seed=0)
    move_prompts(system)
    system.train()
    views = Views(
        OneImage(sizes, vocabulary),
        ViewConfig(min(sizes.image), None, scale=(1.0, 1.0), flip=False, distort=False),
        seed=0,
    )
    batch, cache_bytes = (cached if recipe.cache != "none" else uncached)(system, views)
    optimizer = torch.optim.SGD(system.parameter_groups(1e-3, 1e-4), momentum=0.9)
    return Case(system, words, batch, optimizer, cache_bytes)


def full_length(seem: Seem) -> FullLengthText:
    """Returns the text tower of a model as one that never cuts sentences."""
    text = FullLengthText(seem.config.text)
    text.load_state_dict(seem.text.state_dict())
    return text.eval().requires_grad_(False)


@torch.no_grad()
def move_prompts(system: PromptedSeem) -> None:
    """Moves every learned tensor off its start, where fusion weights have no gradient.

    Tensors of the same name move alike in every system.
    """
    for name, parameter in system.prompts.named_parameters():
        random = torch.Generator().manual_seed(crc32(name.encode()))
        parameter += 0.02 * torch.randn(parameter.shape, generator=random)


def cached(
    system: PromptedSeem, views: Views
) -> tuple[Callable[[], tuple[Features, Targets]], int]:
    """Returns the batch function of the feature cache, and what the cache holds in bytes."""
    pool = EncodedViews(system, views, num_views=1, progress=False)

    def batch() -> tuple[Features, Targets]:
        features, labels, masks = pool.batch([(0, 0)])
        return features, Targets(labels, masks)

    tensors = batch()[0].tensors.values()
    return batch, sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def uncached(
    system: PromptedSeem, views: Views
) -> tuple[Callable[[], tuple[Features, Targets]], int]:
    """Returns the batch function that runs the frozen model, without gradients, every time."""
    view = views.view(0, 0)
    padded = same_size([view], rounded_up([view.labels.shape], system.stride), system.padding)
    targets = Targets(padded[0].labels[None], [padded[0].masks])
    return lambda: (encode(system, padded), targets), 0


# -- measuring ------------------------------------------------------------------------------------


def step(case: Case) -> float:
    """Takes one training step and returns its loss; the gradients stay."""
    case.optimizer.zero_grad(set_to_none=True)
    features, targets = case.batch()
    loss = torch.stack(list(case.system.loss(features, case.words, targets).values())).sum()
    loss.backward()
    case.optimizer.step()
    return loss.item()


def count_step_macs(case: Case) -> int:
    """Returns the multiply-adds of a whole step, forward and backward."""
    aten = torch.ops.aten
    formulas: dict[Any, Callable[..., int]] = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        step(case)
    return counter.get_total_flops() // 2


def _attention(q: torch.Size, k: torch.Size, v: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward(
    grad: torch.Size, q: torch.Size, k: torch.Size, v: torch.Size, *_: object, **__: object
) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


def measure_time(key: str, sizes: Sizes, *, steps: int, at_least: float = 2.0) -> dict[str, Any]:
    """Returns medians over steps after a warm-up step, which is counted.

    Args:
        steps: least number of steps.
        at_least: seconds to go on for where steps are short, up to 25 of them.
    """
    case = make_case(RECIPES[key], sizes)
    macs = count_step_macs(case)
    wall: list[float] = []
    cpu: list[float] = []
    while len(wall) < steps or (sum(wall) < at_least and len(wall) < 25):
        before, cpu_before = time.perf_counter(), time.process_time()
        step(case)
        wall.append(time.perf_counter() - before)
        cpu.append(time.process_time() - cpu_before)
    return {
        "macs": macs,
        "seconds": statistics.median(wall),
        "cpu_seconds": statistics.median(cpu),
        "steps": len(wall),
    }


def measure_memory(key: str, sizes: Sizes, gradients: Path) -> dict[str, Any]:
    """Returns the peak of the first step and its loss, and writes its gradients.

    Args:
        gradients: safetensors file to write.
    """
    case = make_case(RECIPES[key], sizes)
    side = case.system.stride
    case.system.encode(torch.zeros(1, 3, side, side))
    losses: list[float] = []
    grown = peak_growth(lambda: losses.append(step(case)))
    if grown is None:
        losses.append(step(case))
    save_file({name: g.contiguous() for name, g in case.gradients().items()}, gradients)
    return {
        "memory_bytes": grown,
        "cache_bytes": case.cache_bytes,
        "trainable": case.system.num_learned(),
        "loss": losses[0],
    }


def run_child(what: What, key: str, arguments: Sequence[str], gradients: Path) -> dict[str, Any]:
    """Returns what a fresh process measures; memory with an allocator that returns freed blocks."""
    arguments = ["--measure", what, key, str(gradients), *arguments]
    if what == "memory":
        return json.loads(in_fresh_process(__file__, *arguments))
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


# -- reporting ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        macs: of one step, forward and backward.
        seconds, cpu_seconds: medians over `steps` steps; the second summed over threads.
        memory_bytes: None where the operating system cannot tell.
        cache_bytes: per image.
    """

    key: str
    label: str
    trainable: int
    macs: int
    seconds: float
    cpu_seconds: float
    steps: int
    memory_bytes: int | None
    cache_bytes: int
    loss: float


def apart(gradients: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Returns the largest difference per tensor in parts of its largest entry; inf where unlike.

    Example:
        >>> apart({"a": torch.tensor([1.0, 4.0])}, {"a": torch.tensor([1.0, 2.0])})
        1.0
    """
    if set(gradients) != set(others) or not gradients:
        return math.inf
    largest = 0.0
    for name, other in others.items():
        scale = other.abs().max().item()
        difference = (gradients[name] - other).abs().max().item()
        largest = max(largest, difference / scale if scale > 0 else math.inf)
    return largest


def equalities(
    rows: dict[str, Row], gradients: dict[str, dict[str, Tensor]]
) -> list[tuple[str, float, str, bool]]:
    """Returns (what, value, limit in words, is met) of the formulations that must agree."""
    found = []
    for key, plain in EQUAL_PAIRS:
        if key in rows and plain in rows:
            pair = f"{rows[key].label} against {rows[plain].label}"
            loss = abs(rows[key].loss - rows[plain].loss)
            gradient = apart(gradients[key], gradients[plain])
            for what, value in (("loss", loss), ("gradients", gradient)):
                found.append((f"{what}, {pair}", value, f"<= {EQUAL:g}", value <= EQUAL))
    return found


def targets_met(rows: dict[str, Row]) -> list[tuple[str, float, str, bool]]:
    """Returns (what, value, limit in words, is met) of the ratios to CoOp as published."""
    found = []
    for (key, what), limit in LIMITS.items():
        if key not in rows or PLAIN not in rows:
            continue
        ours, plain = getattr(rows[key], what), getattr(rows[PLAIN], what)
        if ours is not None and plain:
            name = {"seconds": "time", "memory_bytes": "peak memory"}[what]
            label = f"{name}, {rows[key].label} / CoOp as published"
            found.append((label, ours / plain, f"<= {limit}", ours / plain <= limit))
    return found


def print_rows(rows: dict[str, Row]) -> None:
    """Prints the table; every ratio is to the first row."""
    plain = next(iter(rows.values()))
    cells = []
    for row in rows.values():
        memory, ratio = "-", "-"
        if row.memory_bytes is not None and plain.memory_bytes:
            memory = f"{row.memory_bytes / 1e6:.0f}"
            ratio = f"{row.memory_bytes / plain.memory_bytes:.4f}"
        cells.append(
            [
                row.label,
                f"{row.trainable:,}",
                f"{row.macs / 1e9:.2f}",
                f"{row.macs / plain.macs:.4f}",
                f"{row.seconds:.3f}",
                f"{row.seconds / plain.seconds:.4f}",
                f"{row.cpu_seconds:.3f}",
                f"{row.cpu_seconds / plain.cpu_seconds:.4f}",
                memory,
                ratio,
                f"{row.cache_bytes / 1e6:.1f}",
            ]
        )
    header = "step of,trainable,GMAC,ratio,seconds,ratio,cpu s,ratio,peak MB,ratio,cache MB/image"
    print_table(header.split(","), cells)


def sizes_from(options: argparse.Namespace) -> Sizes:
    """Returns the sizes that the command line asks for."""
    model = SEEM_FOCAL_T
    if options.tiny:
        model = replace(TINY, text=replace(TINY.text, vocab_size=1024, context_length=77))
    return Sizes(model, (options.size, options.size * 43 // 32), options.classes)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--size", type=int, default=512, help="shorter side of the image in pixels")
    parser.add_argument("--classes", type=int, default=150, help="the first of ADE20K-150")
    parser.add_argument("--tiny", action="store_true", help="toy model, to see that it runs")
    parser.add_argument("--rows", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--steps", type=int, default=3, help="least number of timed steps per row")
    parser.add_argument("--threads", type=int, help="default: what torch chooses")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not 1 <= options.classes <= 150 or options.size < 32 or options.steps < 1:
        parser.error("expected --classes 1..150, --size of at least 32 and --steps of at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark, or measures one row where a process was started for it."""
    options = parse(arguments)
    sizes = sizes_from(options)
    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.measure:
        what, key, gradients = options.measure
        if what == "time":
            print(json.dumps(measure_time(key, sizes, steps=options.steps)))
        else:
            print(json.dumps(measure_memory(key, sizes, Path(gradients))))
        return
    again = ["--size", str(options.size), "--classes", str(options.classes)]
    again += ["--steps", str(options.steps)] + ["--tiny"] * options.tiny
    again += ["--threads", str(options.threads)] * bool(options.threads)
    rows: dict[str, Row] = {}
    gradients = {}
    with tempfile.TemporaryDirectory() as folder:
        for key in tqdm(options.rows, disable=None, unit="row"):
            file = Path(folder) / f"{key}.safetensors"
            measured = [run_child(what, key, again, file) for what in ("time", "memory")]
            rows[key] = Row(key, RECIPES[key].label, **measured[0], **measured[1])
            gradients[key] = load_file(file)
    report(rows, equalities(rows, gradients), sizes, options)


def report(
    rows: dict[str, Row],
    equal: list[tuple[str, float, str, bool]],
    sizes: Sizes,
    options: argparse.Namespace,
) -> None:
    """Prints notes, table and checks, and writes them to `--json`.

    Raises:
        SystemExit: two formulations that must agree do not.
    """
    length = sizes.model.text.context_length
    notes = {
        "machine": machine(),
        "model": f"{'a toy' if options.tiny else 'SEEM Focal-T'}, random weights; image "
        f"{sizes.image[0]} x {sizes.image[1]}, batch 1, {sizes.classes} classes of ADE20K-150",
        "CoOp, LOCN": f"16 shared context vectors; one sentence. As published: all {length} "
        "positions of every class in float32 in every step, by the same fused attention as all "
        "other rows, which is less memory than the published code needs. Image side without graph",
        "MACs": MAC_RULE + "; one step, forward and backward",
        "seconds": f"one step, from pixels or cache to updated prompts; median of at least "
        f"{options.steps} steps after one, each row in its own process; reading and augmenting "
        "images is not in it; cpu s: processor time, summed over threads",
        "peak MB": MEMORY_RULE,
        "ratio": "to the first row",
    }
    for name, text in notes.items():
        print(f"{name}: {text}")
    print()
    print_rows(rows)
    print()
    checks = targets_met(rows) + equal
    for what, value, limit, is_met in checks:
        print(f"{what}: {value:.3g} ({limit}) {'met' if is_met else 'NOT MET'}")
    if options.json:
        content = {
            "notes": notes,
            "rows": [asdict(row) for row in rows.values()],
            "checks": checks,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if not all(is_met for *_, is_met in equal):
        raise SystemExit("formulations that must agree do not; see above")


if __name__ == "__main__":
    main()
