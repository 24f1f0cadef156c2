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

from segtune.data.formats import open_dataset
from segtune.eval.run import evaluate
from segtune.fewshot.run import METRICS, read_recipe, run_recipe
from segtune.predict.segmenter import load
from segtune.systems import build_system

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
    rows = frozen_rows(options.out, changes) + table(results)
    print_table(rows, options.seeds)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def summary(scores: dict[str, float]) -> str:
    """Returns the columns of one run in percent."""
    return "  ".join(f"{name} {100 * scores[name]:.1f}" for name in COLUMNS)


def frozen_rows(out: Path, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows without training: the last layer as it is, and its value path."""
    file = out / "frozen.json"
    if not file.is_file():
        recipe = read_recipe(RECIPE, overrides=changes)
        data = open_dataset(recipe.evaluate.data or recipe.data, split=recipe.evaluate.split)
        rows = []
        for name, value_path in (("frozen CLIP", False), ("dense CLIP (value path)", True)):
            model = load(recipe.model, templates=recipe.templates)
            system = build_system("dense-clip", model.backbone, {"value_path": value_path})
            scores = evaluate(model, data, system=system, examples=0).scores.summary()
            row: dict[str, Any] = {"system": name, "learned": 0, "runs": 1}
            rows.append(row | {column: [100 * scores[column], 0.0] for column in COLUMNS})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    return json.loads(file.read_text())


def table(results: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns one row per system: mean and standard deviation over seeds, in percent."""
    rows = []
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
