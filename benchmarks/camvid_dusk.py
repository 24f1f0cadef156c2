"""The real day -> dusk shift of CamVid: a SEEM trained by day, prompts fitted to a few dusk frames.

    segtune train recipes/zoo/seem-camvid-day.yaml --out runs/camvid-day --set data=CAMVID?...
    python benchmarks/camvid_dusk.py CAMVID --model runs/camvid-day/model --out runs/dusk

Prompts are fitted to K frames of the dusk sequence 0001TP of `train` and scored on the other dusk
frames of `train`. Each run leaves one JSON file under --out and is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from common import print_table

from segtune.data.formats import open_dataset
from segtune.data.samples import Subset
from segtune.data.shots import by_image
from segtune.eval.run import evaluate
from segtune.ops.files import atomic_write
from segtune.segmenter import Segmenter, load
from segtune.train.fit import default_config, fit
from segtune.types import Dataset

DUSK = "0001TP"
SYSTEMS = ("coop", "locn", "spaprompt", "semprompt", "ssprompt")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("camvid", help="folder of CamVid")
    parser.add_argument("--model", required=True, help="SEEM trained on the day sequences")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--shots", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load(options.model)
    dusk = open_dataset(f"{options.camvid}?sequence={DUSK}", split="train")
    rows: list[dict[str, Any]] = []
    for shots in options.shots:
        for system in ("zero-shot", *options.systems):
            scores = []
            for seed in options.seeds:
                file = options.out / f"{system}-{shots}-{seed}.json"
                if not file.is_file():
                    value = {"mIoU": _score(model, dusk, system, shots, seed)}
                    with atomic_write(file) as temporary:
                        temporary.write_text(json.dumps(value) + "\n")
                scores.append(json.loads(file.read_text())["mIoU"])
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            row = {"system": system, "shots": shots, "mIoU": statistics.mean(scores), "std": spread}
            rows.append(row)
    print(f"CamVid train, dusk frames that were not fitted, seeds {options.seeds}, mIoU in percent")
    cells = [f"{100 * row['mIoU']:.1f} ± {100 * row['std']:.1f}" for row in rows]
    named = [(row["system"], str(row["shots"])) for row in rows]
    print_table(
        ("system", "shots", "mIoU"), [(*n, cell) for n, cell in zip(named, cells, strict=True)]
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _score(model: Segmenter, dusk: Dataset, system: str, shots: int, seed: int) -> float:
    """Returns the mIoU on the frames that the fit of this seed does not see."""
    prompts = None
    if system != "zero-shot":
        prompts = fit(
            model,
            dusk,
            system=system,
            shots=shots,
            seed=seed,
            config=default_config(system),
            progress=False,
        )
    fitted = set(by_image(dusk, shots, seed))
    rest = Subset(dusk, [i for i in range(len(dusk)) if i not in fitted])
    return evaluate(model, rest, prompts=prompts, examples=0, progress=False).scores.summary()[
        "mIoU"
    ]


if __name__ == "__main__":
    main()
