"""The real day -> dusk shift of CamVid: a SEEM trained by day, prompts fitted to a few dusk frames.

    segtune train recipes/zoo/seem-camvid-day.yaml --out runs/camvid-day --set data=CAMVID?...
    python benchmarks/camvid_dusk.py CAMVID --model runs/camvid-day/model --out runs/dusk

Prompts are fitted to K frames of the dusk sequence 0001TP of `train` and scored on the other dusk
frames of `train`. Fits use the defaults of `segtune fit`: SSPrompt and its parts ask held-out shots
for the rate. Each run leaves one JSON file under --out and is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import print_table

from segtune.data.formats import open_dataset
from segtune.data.samples import Subset
from segtune.data.shots import by_image
from segtune.eval.run import evaluate
from segtune.fewshot.fit import FitConfig, default_config, fit
from segtune.predict.segmenter import Segmenter, load
from segtune.storage.files import atomic_write
from segtune.types import Dataset

DUSK = "0001TP"
SYSTEMS = ("coop", "locn", "spaprompt", "semprompt", "ssprompt")


def main(arguments: list[str] | None = None) -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("camvid", help="folder of CamVid")
    parser.add_argument("--model", required=True, help="SEEM trained on the day sequences")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--shots", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--steps", type=int, help="of every fit; default: those of segtune fit")
    parser.add_argument("--trial-steps", type=int, help="of the fits that held-out shots compare")
    parser.add_argument("--no-trials", action="store_true", help="take the rates as they are")
    parser.add_argument("--class-balance", type=float, help="option of SSPrompt and its parts")
    parser.add_argument("--frames", type=int, help="scored frames, evenly spread; default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args(arguments)
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
                    value = _run(model, dusk, system, shots, seed, options)
                    print(system, shots, seed, value, flush=True)
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


def _run(
    model: Segmenter,
    dusk: Dataset,
    system: str,
    shots: int,
    seed: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Returns the mIoU on frames that the fit of this seed does not see, and what trials chose."""
    prompts = None
    if system != "zero-shot":
        prompts = fit(
            model,
            dusk,
            system=system,
            options={"class_balance": options.class_balance} if options.class_balance else {},
            shots=shots,
            seed=seed,
            config=_config(system, options),
            progress=False,
        )
    fitted = set(by_image(dusk, shots, seed))
    rest = [i for i in range(len(dusk)) if i not in fitted]
    if options.frames:
        rest = rest[:: max(len(rest) // options.frames, 1)][: options.frames]
    result = evaluate(model, Subset(dusk, rest), prompts=prompts, examples=0, progress=False)
    value: dict[str, Any] = {"mIoU": result.scores.summary()["mIoU"]}
    if prompts is not None:
        value["trials"] = prompts.training["trials"]
    return value


def _config(system: str, options: argparse.Namespace) -> FitConfig:
    """Returns the defaults of a system with the steps of the command line."""
    config = replace(default_config(system), cache="disk")  # features are shared by the systems
    if options.no_trials:
        config = replace(config, rate_factors=())
    if options.steps:
        config = replace(config, loop=replace(config.loop, steps=options.steps))
    if options.trial_steps and config.rate_factors:
        config = replace(config, trial_steps=options.trial_steps)
    return config


if __name__ == "__main__":
    main()
