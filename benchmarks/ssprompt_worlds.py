"""Few-shot fits of the bundled SEEM on synthetic worlds: gain on the target, cost elsewhere.

    python benchmarks/ssprompt_worlds.py --out runs/worlds --seeds 0 1 2 [--json FILE]

Targets: `jargon` (new words for 12 known things), and `fog`, `night`, `rain`, `snow`: the scenes of
`jargon` in that weather, under the names that the model knows. That is 24 words with stuff, so that
sixteen images show all of them several times; with --words all it is the worlds of that name, with
390 words. Fits use the defaults of `segtune fit`, without trials on held-out shots unless --trials
asks for them. Each run leaves its prompts and a JSON file under --out and is not repeated.

Columns: mIoU on the target's split before and after; then the `base` world, `val`, before and
after: all of its words, and only the words that are not part of the fit. With --retention outside
only the latter, and only of systems that learn queries: the others cannot change them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import print_table

from segtune.cli.options.groups import set_option
from segtune.data.formats import open_dataset
from segtune.data.samples import SomeClasses, Subset
from segtune.data.synthetic.attributes import Composition, stuff_concepts, thing_concept
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.data.synthetic.worlds import JARGON, World, make_world
from segtune.eval.run import evaluate
from segtune.fewshot.fit import default_config, fit
from segtune.predict.segmenter import Segmenter, load
from segtune.prompts import Prompts
from segtune.storage.files import atomic_write
from segtune.types import Dataset, Sample, Vocabulary

WORLDS = ("jargon", "fog", "night", "rain", "snow")
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "CoOp": ("coop", {}),
    "LOCN": ("locn", {}),
    "SpaPrompt": ("spaprompt", {}),
    "SemPrompt": ("semprompt", {}),
    "SSPrompt, no weights": ("ssprompt", {"fusion": "average"}),
    "SSPrompt": ("ssprompt", {}),
    "SSPrompt, retain=exact": ("ssprompt", {}),  # the same prompts, answered by two groups
    "VSPL": ("vspl", {}),
}
COLUMNS = ("target", "target_gain", "base", "base_change", "outside", "outside_change", "seconds")
RETENTION = ("all", "outside", "none")
WORDS = ("few", "all")


class Kept:
    """A dataset whose samples are read once and kept in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.name, self.split, self.vocabulary = dataset.name, dataset.split, dataset.vocabulary
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        if index not in self._samples:
            self._samples[index] = self.dataset[index]
        return self._samples[index]

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.dataset.sample_id(index)


def target_world(name: str, words: str = "few") -> World:
    """Returns `jargon`, its scenes in a weather under known names, or the world of a weather."""
    jargon = make_world("jargon")
    if name == "jargon":
        return jargon
    if words == "all":
        return make_world(name)
    things = tuple(thing_concept(Composition.parse(looks)) for looks in JARGON.values())
    vocabulary = Vocabulary(things + stuff_concepts(), name=f"synthetic:{name}-24")
    return replace(jargon, name=f"{name}-24", weather=name, vocabulary=vocabulary)


class Data:
    """Everything that is fitted to and scored on, rendered once per process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.split, self.images, self.words = options.split, options.images, options.words
        base = open_dataset("synthetic:base", split="val")
        self.base = Kept(Subset(base, range(options.base_images)))
        self._worlds: dict[str, tuple[Dataset, Dataset]] = {}

    def world(self, name: str) -> tuple[Dataset, Dataset]:
        """Returns what is fitted to and what is scored on."""
        if name not in self._worlds:
            world = target_world(name, self.words)
            test = SyntheticDataset(world, self.split)
            scored = Kept(Subset(test, range(min(self.images, len(test)))))
            self._worlds[name] = Kept(SyntheticDataset(world, "train")), scored
        return self._worlds[name]


def main(arguments: list[str] | None = None) -> None:
    """Runs what is missing and prints a table per world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--model", default="seem-tiny")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--systems", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--shots", nargs="+", type=int, default=[16])
    parser.add_argument("--steps", type=int, help="of every fit, in an --out of its own")
    parser.add_argument("--words", default="few", choices=WORDS, help="all in an --out of its own")
    parser.add_argument("--trials", action="store_true", help="rates compared on held-out shots")
    set_option(parser, "option of every fit, such as spatial_lr_factor=1; may be repeated")
    parser.add_argument("--split", default="test", help="of the target; choose settings on val")
    parser.add_argument("--images", type=int, default=60, help="scored images of the target")
    parser.add_argument("--base-images", type=int, default=30)
    parser.add_argument("--retention", choices=RETENTION, default="all", help="words of base")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    model, data = load(options.model), Data(options)
    # Seed by seed, so that an interrupted benchmark has whole rows of fewer seeds.
    for seed in options.seeds:
        for world in options.worlds:
            for shots in options.shots:
                for name in options.systems:
                    _run(model, data, world, name, shots, seed, options)
    rows: list[dict[str, Any]] = []
    for world in options.worlds:
        zero = _zero_shot(model, data, world, options)
        rows.append({"world": world, "system": "zero-shot", "shots": 0} | zero)
        for shots in options.shots:
            for name in options.systems:
                runs = [
                    _run(model, data, world, name, shots, seed, options) for seed in options.seeds
                ]
                rows.append({"world": world, "system": name, "shots": shots} | _summary(runs, zero))
    _print(rows, options.seeds, options.split)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _zero_shot(
    model: Segmenter, data: Data, world: str, options: argparse.Namespace
) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        scores = {"target": _score(model, data.world(world)[1], None)}
        if options.retention == "all":
            scores["base"] = _score(model, data.base, None)
        return scores

    return _stored(options.out / f"{world}-zero-shot-{options.split}.json", make)


def _run(
    model: Segmenter,
    data: Data,
    world: str,
    name: str,
    shots: int,
    seed: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Returns the scores of one fit; fits and scores where no file has them."""
    stem = f"{world}-{_slug(name)}{_tag(options)}-{shots}-{seed}"

    def make() -> dict[str, Any]:
        began = time.process_time()
        prompts = _fitted(model, data, world, name, shots, seed, options)
        seconds = time.process_time() - began
        if "exact" in name:
            prompts = replace(prompts, options=prompts.options | {"retain": "exact"})
        result = {
            "learned": prompts.num_learned(),
            "seconds": seconds,
            "rates": (prompts.training["trials"] or {}).get("best"),
            "target": _score(model, data.world(world)[1], prompts),
        }
        if options.retention == "all":
            result["base"] = _score(model, data.base, prompts)
        learns_queries = prompts.options["spatial"] != "default"
        if options.retention == "all" or (options.retention == "outside" and learns_queries):
            outside = _outside(data.base, prompts)
            result["outside"] = _score(model, outside, prompts)
            before = _stored(
                options.out / f"outside-{_key(outside)}.json",
                lambda: {"mIoU": _score(model, outside, None)},
            )
            result["outside_before"] = before["mIoU"]
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}
        print(world, name, shots, seed, shown, flush=True)
        return result

    return _stored(options.out / f"{stem}-{options.split}.json", make)


def _fitted(
    model: Segmenter,
    data: Data,
    world: str,
    name: str,
    shots: int,
    seed: int,
    options: argparse.Namespace,
) -> Prompts:
    """Returns the prompts of a run; rows of the same system and options share them."""
    system, settings = ROWS[name]
    config = replace(default_config(system), cache="disk")  # features are shared by the systems
    if not options.trials:
        config = replace(config, rate_factors=())
    slug = _slug("-".join([system, *map(str, settings.values())]))
    file = options.out / f"{world}-{slug}{_tag(options)}-{shots}-{seed}.prompts.safetensors"
    if file.is_file():
        return Prompts.load(file)
    if options.steps:
        config = replace(config, loop=replace(config.loop, steps=options.steps))
    return fit(
        model,
        data.world(world)[0],
        system=system,
        options=settings | dict(options.settings),
        shots=shots,
        seed=seed,
        config=config,
        out=file,
        progress=False,
    )


def _tag(options: argparse.Namespace) -> str:
    """Returns the part of file names that tells other fits apart."""
    settings = "".join(f"-{_slug(f'{key}={value}')}" for key, value in options.settings)
    return settings + ("-trials" if options.trials else "")


def _key(outside: Dataset) -> str:
    """Returns a short name for the words that are outside of a fit."""
    return f"{len(outside.vocabulary)}-{zlib.crc32(' '.join(outside.vocabulary.names).encode()):x}"


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
    found = {key: [run[key] for run in runs] for key in ("target", "seconds")}
    found["target_gain"] = [run["target"] - zero["target"] for run in runs]
    if "base" in runs[0]:
        found["base"] = [run["base"] for run in runs]
        found["base_change"] = [run["base"] - zero["base"] for run in runs]
    if all("outside" in run for run in runs):
        found["outside"] = [run["outside"] for run in runs]
        found["outside_change"] = [run["outside"] - run["outside_before"] for run in runs]
    return {"learned": runs[0]["learned"]} | {
        key: [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0]
        for key, values in found.items()
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
