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

import torch
import transformers
from common import MAC_RULE, in_fresh_process, machine, peak_growth, print_table
from prompt_fit_cases import PLAIN, RECIPES, Case, Sizes, make_case, step, text_gradients
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)
from tqdm import tqdm

from segtune.backbones.seem.config import SEEM_FOCAL_T
from segtune.backbones.seem.model import TINY

What = Literal["time", "memory"]
Check = tuple[str, float, str, bool]
"""What, value, limit in words, whether it is met."""

MEMORY_RULE = (
    "growth of the resident set of a fresh process: its highest point during the first training "
    "step (image side where it is not cached, text side, forward, backward, optimiser) minus the "
    "level before it, after model, prompts and cache were built and a tiny image was encoded; "
    "weights and cache are not in it; the C library returns freed blocks at once"
)
EQUAL = {  # (row, row with the plain formulation) -> largest difference of the gradients
    ("coop_cut", "coop_full"): 1e-4,  # rounding of sums that cancel; see `text_gradients`
    ("locn_cut", "locn_full"): 1e-4,
    ("ssprompt_cached", "ssprompt"): 1e-5,
    ("ssprompt_keys", "ssprompt"): 1e-5,
    ("semprompt_cached", "semprompt"): 1e-5,
}
EQUAL_LOSS, EQUAL_DOUBLE = 1e-5, 1e-10
LIMITS = {  # relative to CoOp as published: (row, what) -> at most
    ("ssprompt", "seconds"): 0.60,
    ("ssprompt", "memory_bytes"): 0.45,
    ("ssprompt_cached", "seconds"): 0.20,
    ("ssprompt_cached", "memory_bytes"): 0.20,
    ("semprompt_cached", "seconds"): 0.01,
}


# -- measuring ------------------------------------------------------------------------------------


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
    rows: dict[str, Row], gradients: dict[str, dict[str, Tensor]], sizes: Sizes
) -> list[Check]:
    """Returns the checks of the formulations that must agree."""
    found = []
    for (key, plain), limit in EQUAL.items():
        if key not in rows or plain not in rows:
            continue
        values = [
            ("loss", abs(rows[key].loss - rows[plain].loss), EQUAL_LOSS),
            ("gradients", apart(gradients[key], gradients[plain]), limit),
        ]
        if RECIPES[plain].is_full_length:
            exact = apart(text_gradients(key, sizes), text_gradients(plain, sizes))
            values.append(("float64 gradients of the text side", exact, EQUAL_DOUBLE))
        pair = f"{rows[key].label} against {rows[plain].label}"
        found += [(f"{what}, {pair}", v, f"<= {most:g}", v <= most) for what, v, most in values]
    return found


def targets_met(rows: dict[str, Row]) -> list[Check]:
    """Returns the checks of the ratios to CoOp as published."""
    found: list[Check] = []
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
    report(rows, equalities(rows, gradients, sizes), sizes, options)


def report(
    rows: dict[str, Row],
    equal: list[Check],
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
        "gradients": "largest difference in parts of the largest entry of the tensor",
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
