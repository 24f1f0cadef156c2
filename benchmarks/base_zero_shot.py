"""Zero-shot segmentation of the synthetic base world: every system, several seeds, last step.

    python benchmarks/base_zero_shot.py --out runs/base --seeds 0 1 2 [--json FILE]

Each run is `recipes/rpn/base.yaml` with another system, and leaves its own folder under --out;
finished runs are not repeated, interrupted ones go on. Several processes may share the work: give
each its own --systems or --seeds, then run once more without to print the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from segtune.train.run import METRICS, run_recipe

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "rpn" / "base.yaml"
ROWS: dict[str, dict[str, Any]] = {
    "LPM only": {"system": "lpm"},
    "VPT": {"system": "vpt"},
    "LoRA": {"system": "lora"},
    "ZegCLIP": {"system": "zegclip"},
    "RPM only": {"system": "rpn", "options.variant": "paper", "options.head": "tfpm"},
    "RPN paper, no M2oE": {"system": "rpn", "options.variant": "paper", "options.m2oe": False},
    "RPN paper": {"system": "rpn", "options.variant": "paper"},
    "RPN released": {"system": "rpn", "options.variant": "released"},
}
COLUMNS = ("pAcc", "mIoU", "mIoU(S)", "mIoU(U)", "hIoU")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--systems", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=JSON", help="recipe fields")
    parser.add_argument("--threads", type=int, help="torch threads of this process")
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    changes = {k: json.loads(v) for k, v in (pair.split("=", 1) for pair in options.set)}
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for name in options.systems:
            folder = options.out / f"{name.lower().replace(' ', '-').replace(',', '')}-{seed}"
            if (folder / METRICS).is_file():
                metrics = json.loads((folder / METRICS).read_text())
            else:
                overrides = changes | ROWS[name] | {"seed": seed}
                metrics = run_recipe(RECIPE, out=folder, resume=True, overrides=overrides)
                print(f"{name}, seed {seed}: {summary(metrics['last'])}", flush=True)
            results.setdefault(name, []).append(metrics)
    rows = table(results)
    print_table(rows, options.seeds)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def summary(scores: dict[str, float]) -> str:
    """Returns the columns of one run in percent."""
    return "  ".join(f"{name} {100 * scores[name]:.1f}" for name in COLUMNS)


def table(results: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns one row per system: mean and standard deviation over seeds, in percent."""
    first = next(iter(results.values()))[0]
    rows: list[dict[str, Any]] = [
        {"system": "dense CLIP, nothing learned", "learned": 0, "runs": 1}
    ]
    rows[0] |= {name: [100 * first["zero_shot"][name], 0.0] for name in COLUMNS}
    for name, runs in results.items():
        row = {"system": name, "learned": runs[0]["protocol"]["learned"], "runs": len(runs)}
        for column in COLUMNS:
            values = [100 * run["last"][column] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            row[column] = [statistics.mean(values), spread]
        rows.append(row)
    return rows


def print_table(rows: list[dict[str, Any]], seeds: list[int]) -> None:
    """Prints the table with its protocol."""
    print(f"\nsynthetic:base test, last step, seeds {seeds}, percent, mean ± std")
    print(f"{'system':<28}{'learned':>9}" + "".join(f"{name:>14}" for name in COLUMNS))
    for row in rows:
        cells = "".join(f"{row[name][0]:>8.1f} ± {row[name][1]:<3.1f}" for name in COLUMNS)
        print(f"{row['system']:<28}{row['learned']:>9}{cells}")


if __name__ == "__main__":
    main()
