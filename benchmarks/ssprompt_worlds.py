"""Few-shot fits of the bundled SEEM on synthetic worlds: gain on the target, cost elsewhere.

    python benchmarks/ssprompt_worlds.py --out runs/worlds --seeds 0 1 2 [--json FILE]

Every fit uses the defaults of `segtune fit`. Each run leaves one JSON file under --out and is not
repeated; several processes may share the work with other --worlds or --seeds.

Columns: mIoU on the target's split before and after; then the `base` world, `val`, before and
after: all of its words, and only the words that are not part of the fit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from common import print_table

from segtune.data.formats import open_dataset
from segtune.data.samples import SomeClasses, Subset
from segtune.eval.run import evaluate
from segtune.ops.files import atomic_write
from segtune.prompts import Prompts
from segtune.segmenter import Segmenter, load
from segtune.train.fit import default_config, fit
from segtune.types import Dataset

WORLDS = ("jargon", "fog", "night", "rain", "snow")
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "VSPL": ("vspl", {}),
    "CoOp": ("coop", {}),
    "LOCN": ("locn", {}),
    "SpaPrompt": ("spaprompt", {}),
    "SemPrompt": ("semprompt", {}),
    "SSPrompt, no weights": ("ssprompt", {"fusion": "average"}),
    "SSPrompt": ("ssprompt", {}),
    "SSPrompt, retain=exact": ("ssprompt", {"retain": "exact"}),
}
COLUMNS = ("target", "target_gain", "base", "base_change", "outside", "outside_change", "seconds")


def main() -> None:
    """Runs what is missing and prints a table per world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--model", default="seem-tiny")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--systems", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--shots", nargs="+", type=int, default=[16])
    parser.add_argument("--split", default="test", help="of the target; choose settings on val")
    parser.add_argument("--images", type=int, default=60, help="scored images of the target")
    parser.add_argument("--base-images", type=int, default=30)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load(options.model)
    rows: list[dict[str, Any]] = []
    for world in options.worlds:
        zero = _stored(
            options.out / f"{world}-zero-shot-{options.split}.json",
            lambda w=world: {
                "target": _score(model, _target(w, options), None),
                "base": _score(model, _base(options), None),
            },
        )
        rows.append({"world": world, "system": "zero-shot", "shots": 0} | zero)
        for shots in options.shots:
            for name in options.systems:
                runs = [
                    _stored(
                        options.out / f"{world}-{_slug(name)}-{shots}-{seed}-{options.split}.json",
                        lambda w=world, n=name, k=shots, s=seed: _run(model, w, n, k, s, options),
                    )
                    for seed in options.seeds
                ]
                rows.append({"world": world, "system": name, "shots": shots} | _summary(runs, zero))
    _print(rows, options.seeds, options.split)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _run(
    model: Segmenter, world: str, name: str, shots: int, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    system, settings = ROWS[name]
    train = open_dataset(f"synthetic:{world}", split="train")
    began = time.perf_counter()
    prompts = fit(
        model,
        train,
        system=system,
        options=settings,
        shots=shots,
        seed=seed,
        config=default_config(system),
        progress=False,
    )
    seconds = time.perf_counter() - began
    base = _base(options)
    outside = _outside(base, prompts)
    result = {
        "learned": prompts.num_learned(),
        "seconds": seconds,
        "target": _score(model, _target(world, options), prompts),
        "base": _score(model, base, prompts),
        "outside": _score(model, outside, prompts),
        "outside_before": _score(model, outside, None),
    }
    print(world, name, shots, seed, {k: round(v, 3) for k, v in result.items()}, flush=True)
    return result


def _target(world: str, options: argparse.Namespace) -> Dataset:
    dataset = open_dataset(f"synthetic:{world}?stored=1", split=options.split)
    return Subset(dataset, range(min(options.images, len(dataset))))


def _base(options: argparse.Namespace) -> Dataset:
    return Subset(open_dataset("synthetic:base?stored=1", split="val"), range(options.base_images))


def _outside(base: Dataset, prompts: Prompts) -> Dataset:
    """The base words that the fit has not learned, other pixels unlabelled."""
    learned = set(prompts.options["classes"])
    ids = [i for i, name in enumerate(base.vocabulary.names) if name not in learned]
    return SomeClasses(base, ids)


def _score(model: Segmenter, dataset: Dataset, prompts: Prompts | None) -> float:
    result = evaluate(model, dataset, prompts=prompts, seen_shift=0.0, examples=0, progress=False)
    return result.scores.summary()["mIoU"]


def _stored(file: Path, make: Any) -> dict[str, Any]:
    if not file.is_file():
        values = make()
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n")
    return json.loads(file.read_text())


def _summary(runs: list[dict[str, Any]], zero: dict[str, float]) -> dict[str, Any]:
    changes = {
        "target_gain": [run["target"] - zero["target"] for run in runs],
        "base_change": [run["base"] - zero["base"] for run in runs],
        "outside_change": [run["outside"] - run["outside_before"] for run in runs],
    }
    plain = {key: [run[key] for run in runs] for key in ("target", "base", "outside", "seconds")}
    return {"learned": runs[0]["learned"]} | {
        key: [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0]
        for key, values in (plain | changes).items()
    }


def _print(rows: list[dict[str, Any]], seeds: list[int], split: str) -> None:
    print(f"\nmIoU in percent, target split {split}, seeds {seeds}, mean ± std")
    cells = []
    for row in rows:
        values = [row.get(key) for key in COLUMNS]
        cells.append(
            (
                f"{row['world']} {row['system']}",
                str(row["shots"]),
                str(row.get("learned", 0)),
                *(_cell(key, value) for key, value in zip(COLUMNS, values, strict=True)),
            )
        )
    print_table(("world, system", "shots", "learned", *COLUMNS), cells)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    mean, spread = value if isinstance(value, list) else (value, None)
    factor = 1 if key == "seconds" else 100
    text = f"{factor * mean:.1f}"
    return text if spread is None else f"{text} ± {factor * spread:.1f}"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-")


if __name__ == "__main__":
    main()
