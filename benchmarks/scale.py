"""How long a million images take, by number of GPUs: measured CPU stages, computed GPU stages.

    python benchmarks/scale.py                      1.3 million images, 1 to 64 GPUs
    python benchmarks/scale.py --caption-tokens 0   captions as they are

What is measured here, on one core: entities by rules, matching, and Parquet writing, as the stages
of `segtune align` do them. What is computed: multiplications of a ConvNeXt-L Uni-OVSeg at 1024 and
896 pixels (spec, section 10) over what a GPU does per second at a stated share of its peak, and
tokens of a captioning model at a stated rate. A shard goes through the stages one after the other;
every stage has servers, a shard waits for a free one, and the last shard out is the end. The
bottleneck is the stage whose servers are busy for the largest share of that time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from segtune.cli.tables import print_table
from segtune.engine.graph import Row
from segtune.engine.graphs.align import AlignConfig, MatchStage
from segtune.engine.graphs.nouns import NounStage
from segtune.engine.store import ShardStore
from segtune.vocabulary.nouns.rules import RuleNouns

IMAGES = 1_300_000
SHARD = 1000
GIGA_MACS = {"propose and embed": 719 + 140 + 375 + 550}
"""Of an image: backbone at 1024, pixel decoder, mask decoder for 400 points, backbone at 896."""
MASKS, SIZES, WIDTH = 50, 2, 768
BYTES = {
    "captions": 800,
    "entities": 400,
    "masks as RLE": 50 * 400,
    "embeddings of pairs": 8 * 2 * 768 * 2,
    "embeddings of all regions": 50 * 2 * 768 * 2,
}
"""Of an image, in what is kept (spec, section 10)."""
GPUS = (1, 2, 4, 8, 16, 32, 64)
CAPTION = "A man in a red jacket walks two brown dogs past a parked car near an old stone bridge."


@dataclass(frozen=True)
class Stage:
    """One stage of the plan.

    Attributes:
        name: of it.
        seconds: per image and server.
        on_gpu: its servers are shares of GPUs, else cores.
        source: measured or computed, and of what.
    """

    name: str
    seconds: float
    on_gpu: bool
    source: str


@dataclass(frozen=True)
class Plan:
    """A number of GPUs and what comes of it."""

    gpus: int
    hours: float
    gpu_hours: float
    dollars: float
    bottleneck: str
    busy: dict[str, float]


def main() -> None:
    """Measures, computes, simulates, and prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--tera-flops", type=float, default=400, help="peak of a GPU, bf16, dense")
    parser.add_argument("--share", type=float, default=0.35, help="of the peak that is reached")
    parser.add_argument("--caption-tokens", type=float, default=150, help="generated per image")
    parser.add_argument("--tokens-per-second", type=float, default=2500, help="of a GPU, batched")
    parser.add_argument("--cores", type=int, default=8, help="per GPU")
    parser.add_argument("--price", type=float, default=3.0, help="of a GPU hour")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    stages = plan_stages(options)
    rows = [
        (s.name, "GPU" if s.on_gpu else "core", f"{1e3 * s.seconds:.2f}", s.source) for s in stages
    ]
    print_table(("stage", "on", "ms/image", "source"), rows, title="stages")
    plans = [simulated(stages, options, gpus) for gpus in GPUS]
    rows = [
        (
            str(plan.gpus),
            f"{plan.hours:.1f}",
            f"{plan.gpu_hours:.0f}",
            f"{plan.dollars:.0f}",
            f"{plan.bottleneck}, busy {100 * plan.busy[plan.bottleneck]:.0f} %",
        )
        for plan in plans
    ]
    heads = ("GPUs", "hours", "GPU hours", "price", "what saturates first")
    print_table(heads, rows, title=f"{options.images:,} images, {options.cores} cores per GPU")
    rows = [(name, f"{size * options.images / 1e9:.1f}") for name, size in BYTES.items()]
    print_table(("kept", "GB"), rows, title="bytes")
    if options.json:
        content = {"stages": [asdict(s) for s in stages], "plans": [asdict(p) for p in plans]}
        options.json.write_text(json.dumps(content, indent=1))


def plan_stages(options: argparse.Namespace) -> list[Stage]:
    """Returns the stages with what an image costs in each."""
    reached = options.tera_flops * 1e12 * options.share
    stages = []
    if options.caption_tokens:
        each = options.caption_tokens / options.tokens_per_second
        about = f"computed: {options.caption_tokens:g} tokens at {options.tokens_per_second:g}/s"
        stages.append(Stage("refine captions", each, True, about))
    stages.append(Stage("entities", measured_entities(), False, "measured: rules, 2 captions"))
    for name, macs in GIGA_MACS.items():
        about = f"computed: {macs} GMAC at {100 * options.share:.0f} % of {options.tera_flops:g} TF"
        stages.append(Stage(name, 2e9 * macs / reached, True, about))
    about = f"measured: {MASKS} masks, {SIZES} sizes, 8 entities"
    stages.append(Stage("match", measured_match(), False, about))
    stages.append(Stage("write", measured_write(), False, "measured: Parquet, zstd"))
    return stages


def measured_entities(count: int = 500) -> float:
    """Returns seconds per image on one core."""
    stage = NounStage(RuleNouns, use=None, drop_generic=True, wording="lemma")
    rows = [{"captions": [CAPTION, "Two dogs."]} for _ in range(count)]
    return _seconds(lambda: stage(rows)) / count


def measured_match(count: int = 100) -> float:
    """Returns seconds per image on one core."""
    words = [f"word {i}" for i in range(8)]
    table = [{"phrase": word, "embed": _unit(WIDTH).tobytes()} for word in words]
    config = AlignConfig(sizes=(896, 1024))
    stage = MatchStage(config, 100.0, table)
    embeds = np.stack([_unit(WIDTH) for _ in range(SIZES * MASKS)]).tobytes()
    row = {"nouns": [[w, w, 0] for w in words], "rles": ["x"] * MASKS, "embeds": embeds}
    return _seconds(lambda: stage([row] * count)) / count


def measured_write(count: int = 200) -> float:
    """Returns seconds per image on one core, of masks and of the embeddings of all regions."""
    random = np.random.default_rng(0)
    text = "".join(chr(48 + v) for v in random.integers(0, 40, 400))
    embeds = random.normal(size=SIZES * MASKS * WIDTH).astype(np.float16).tobytes()
    rows: list[tuple[int, Row]] = [
        (i, {"rles": [text] * MASKS, "embeds": embeds}) for i in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = ShardStore(Path(folder))
        columns = {"rles": "json", "embeds": "bytes"}
        return _seconds(lambda: store.write("s", 0, rows, columns=columns, key="k")) / count


def _unit(width: int) -> np.ndarray:
    vector = np.random.default_rng(width).normal(size=width)
    return (vector / np.linalg.norm(vector)).astype(np.float16)


def _seconds(work, repeats: int = 3) -> float:
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


def simulated(stages: list[Stage], options: argparse.Namespace, gpus: int) -> Plan:
    """Returns when the last shard is out, by sending all of them through the stages.

    GPUs are divided between the stages that use them by what these cost, at least one each; where
    there is one GPU only, they take turns, which is as if each were slower.
    """
    servers, slower = shares(stages, gpus, options.cores)
    free = {stage.name: [0.0] * servers[stage.name] for stage in stages}
    busy = dict.fromkeys(free, 0.0)
    end = 0.0
    ready = [(0.0, number) for number in range(-(-options.images // SHARD))]
    for stage in stages:
        cost = stage.seconds * SHARD * slower.get(stage.name, 1.0)
        following = []
        for begin, number in sorted(ready):
            at = max(begin, heapq.heappop(free[stage.name]))
            heapq.heappush(free[stage.name], at + cost)
            busy[stage.name] += cost
            following.append((at + cost, number))
        ready = following
        end = max(at for at, _ in ready)
    shares_busy = {name: busy[name] / (servers[name] * end) for name in busy}
    worst = max(shares_busy, key=lambda name: shares_busy[name])
    hours = end / 3600
    return Plan(gpus, hours, hours * gpus, hours * gpus * options.price, worst, shares_busy)


def shares(stages: list[Stage], gpus: int, cores: int) -> tuple[dict[str, int], dict[str, float]]:
    """Returns servers of each stage, and how much slower those are that share one GPU."""
    on_gpu = [stage for stage in stages if stage.on_gpu]
    total = sum(stage.seconds for stage in on_gpu)
    servers = {stage.name: gpus * cores // 3 or 1 for stage in stages if not stage.on_gpu}
    if gpus < len(on_gpu):
        slower = {stage.name: total / stage.seconds for stage in on_gpu}
        return servers | dict.fromkeys(slower, 1), slower
    given = {stage.name: max(int(gpus * stage.seconds / total), 1) for stage in on_gpu}
    while sum(given.values()) < gpus:
        needy = max(on_gpu, key=lambda stage: stage.seconds / given[stage.name])
        given[needy.name] += 1
    while sum(given.values()) > gpus:
        rich = max(given, key=lambda name: given[name])
        given[rich] -= 1
    return servers | given, {}


if __name__ == "__main__":
    main()
