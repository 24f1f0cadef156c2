"""OVSeg's ablations on the synthetic `base` world with the bundled models.

    python benchmarks/ovseg_base.py --out runs/ovseg --threads 1 [--seeds 0 1 2] [--json FILE]

Three questions of the paper (Liang et al., CVPR 2023): how far is a two-stage segmenter from its
bounds (section 3.1), what does adapting CLIP give and in which way (tables of MPT, FT and both),
and which pairs should it learn from. Pairs come from 200 scenes of `train`, whose classes are all
tagged seen; every score is over all 390 classes of `base` on scenes of --split. Mined words are the
class names in captions (nouns by lexicon). Rates and epochs are the presets `tiny` and
`tiny-prompts` (`train/pairs/recipe.py`), chosen on `val`, never on `test`; the weight of CLIP and
the threshold of masks are OVSeg's.

Each run leaves one JSON file under --out and is not repeated; several processes may share the work
with other --seeds. A seed changes the order of pairs, the crops and fresh prompts; scenes and
frozen models are the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from common import machine, print_table
from segtune.engine.mine import MineConfig, finish, mine

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.hub import load_backbone
from segtune.backbones.two_stage.model import TwoStage
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.cli.options.groups import set_option
from segtune.data.formats import open_dataset
from segtune.data.pairs import write_pairs
from segtune.data.regions import named_regions
from segtune.engine.masks import LabelMasks, ProposedMasks
from segtune.engine.stage import RegionStage
from segtune.eval.mask_names import score_mask_names
from segtune.eval.run import evaluate
from segtune.eval.semantic import ConfusionMatrix
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.ops.resize import to_original
from segtune.predict.pixels import padded
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.storage.files import atomic_write
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.trainers.pairs.recipe import make_recipe
from segtune.trainers.pairs.regions import labelled_pairs
from segtune.trainers.pairs.run import run as train_on_pairs
from segtune.types import Dataset, Geometry, Resolution
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.nouns.registry import make_extractor
from segtune.vocabulary.templates import read_templates

SIZE = 192
WORLD = f"synthetic:base?size={SIZE}&stored=1"
TEMPLATES, TEXT = "single", "a photo of a {}."
PAIR_SETS = {
    "labels": "ground-truth masks and names",
    "label masks, 1 caption": "ground-truth masks, nouns of one caption",
    "proposals, 1 caption": "proposed masks, nouns of one caption",
    "proposals, 5 captions": "proposed masks, nouns of five captions",
}
DEFAULT_PAIRS = "proposals, 1 caption"
PRESETS = {"ft": "tiny", "mpt": "tiny-prompts"}
STYLES = ("crop", "mask", "cropmask")
WEIGHT, THRESHOLD = 0.7, 0.4
"""Of CLIP in the fusion, and of binary masks."""
COLUMNS = ("mIoU", "mIoU(S)", "mIoU(U)")


@dataclass(frozen=True)
class Row:
    """One way to adapt CLIP.

    Attributes:
        mode: "ft" or "mpt".
        pairs: a key of `PAIR_SETS`.
        depth: layers with mask prompts.
        after_ft: start from the image encoder that the row "FT" has learned.
    """

    mode: str
    pairs: str
    depth: int = 3
    after_ft: bool = False


def rows_for(pairs: str, sets: list[str]) -> dict[str, Row]:
    """Returns the rows by name; ways to adapt learn from the set `pairs`."""
    methods = {
        "MPT": Row("mpt", pairs),
        "MPT, 1 layer": Row("mpt", pairs, depth=1),
        "FT": Row("ft", pairs),
        "FT, then MPT": Row("mpt", pairs, after_ft=True),
        "FT, then MPT, 1 layer": Row("mpt", pairs, depth=1, after_ft=True),
    }
    others = {f"FT, {name}": Row("ft", name) for name in sets if name != pairs}
    return methods | others


class Bench:
    """The frozen models, the scenes and what has been learned so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, Path(options.out)
        self.clip = cast(ClipVit, load_backbone(options.clip))
        self.proposals = load_proposals(options.proposals) if options.proposals else None
        self.scored = open_dataset(f"{WORLD}&length={options.images}", split=options.split)
        self.templates = read_templates(TEMPLATES)

    @cached_property
    def words(self) -> Words:
        """The classes of the scored scenes; adapting the image encoder does not change them."""
        return Words(embed_vocabulary(self.clip, self.scored.vocabulary, self.templates))

    @cached_property
    def train(self) -> Dataset:
        """The scenes that pairs are from, with five captions each."""
        return open_dataset(f"{WORLD}&length={self.options.scenes}&captions=5", split="train")

    # -- pairs --------------------------------------------------------------------------------

    def pairs(self, name: str) -> Path:
        """Returns the file of a set of pairs, made where it is not there."""
        file = self.out / "pairs" / f"{_slug(name)}.jsonl"
        if file.is_file():
            return file
        if name == "labels":
            write_pairs(file, labelled_pairs(self.train))
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        source: Any = LabelMasks(self.train.vocabulary)
        if name.startswith("proposals"):
            assert self.proposals is not None
            source = ProposedMasks(self.proposals, short_side=SIZE, threshold=THRESHOLD)
        captions = 5 if name.endswith("5 captions") else 1
        stage = RegionStage(self.train, self.clip, source, OVSEG, self.out / "regions")
        extractor = make_extractor("lexicon", vocabulary=self.train.vocabulary)
        config = MineConfig(captions=captions, templates=self.templates)
        mined = mine(self.train, lambda: stage, extractor, out=file, config=config, progress=False)
        finish(mined)
        return file

    # -- scores -------------------------------------------------------------------------------

    def names(self, clip: ClipVit, prompts: Prompts | None, style: str = "cropmask") -> dict:
        """Returns the scores of names for labelled masks."""
        size = clip.image_size
        config = replace(OVSEG, size=size)
        if style != "cropmask":
            config = RegionConfig(style=cast(Any, style), threshold=0.5, size=size)
        tensor = None if prompts is None else prompts.tensors["mask_prompts"]
        scores = score_mask_names(
            clip, self.scored, self.words, mask_prompts=tensor, config=config, progress=False
        )
        return dict(scores.summary())

    def segments(self, clip: ClipVit, prompts: Prompts | None, scores: str) -> dict[str, float]:
        """Returns the scores of proposals that are named by themselves, by CLIP, or by both."""
        assert self.proposals is not None
        pair = TwoStage(self.proposals, clip, dense_size=SIZE, templates=TEMPLATES)
        options: dict[str, Any] = {"scores": scores, "weight": WEIGHT, "threshold": THRESHOLD}
        name = "two-stage"
        if prompts is not None:
            name, depth = "ovseg", len(prompts.tensors["mask_prompts"])
            options["prompt_depth"] = depth
        system = build_system(name, pair, options)
        if prompts is not None:
            system.load_learned(prompts.tensors)
        model = Segmenter(pair, templates=TEMPLATES, resolution=Resolution(SIZE, None, SIZE))
        found = evaluate(model, self.scored, system=system, examples=0, progress=False)
        return found.scores.summary()

    def scores(self, clip: ClipVit, prompts: Prompts | None) -> dict[str, Any]:
        """Returns all scores of an adapted CLIP."""
        found: dict[str, Any] = {"masks": self.names(clip, prompts)}
        if self.proposals is not None:
            found["clip"] = self.segments(clip, prompts, "clip")
            found["both"] = self.segments(clip, prompts, "both")
        return found

    @torch.inference_mode()
    def oracle(self) -> dict[str, float]:
        """Returns the scores of proposals, each called after the label it overlaps best with."""
        assert self.proposals is not None
        matrix = ConfusionMatrix(len(self.scored.vocabulary))
        for index in range(len(self.scored)):
            sample = self.scored[index]
            pixels = torch.from_numpy(sample.pixels()).permute(2, 0, 1).float()
            batch = padded(pixels, self.proposals.stride, self.proposals.padding)[None]
            size = (pixels.shape[1], pixels.shape[2])
            geometry = Geometry(size, size, (batch.shape[2], batch.shape[3]))
            logits = self.proposals.propose(batch).mask_logits[0]
            probs = to_original(logits, geometry).sigmoid()  # (Q, H, W)
            labelled = named_regions(sample, self.scored.vocabulary)
            ids = sorted({region.class_id for region in labelled})
            truth = np.stack([(sample.semantic == i) for i in ids])  # (C, H, W)
            masks = (probs > THRESHOLD).flatten(1).float()
            target = torch.from_numpy(truth).flatten(1).float()
            shared = masks @ target.T  # (Q, C)
            union = masks.sum(1)[:, None] + target.sum(1) - shared
            best = (shared / union).argmax(1)
            sums = torch.zeros(len(ids), *size).index_add_(0, best, probs)
            label_map = np.array(ids, np.int32)[sums.argmax(0).numpy()]
            matrix.update(label_map, cast(np.ndarray, sample.semantic))
        return matrix.scores(self.scored.vocabulary).summary()

    # -- runs ---------------------------------------------------------------------------------

    def bounds(self) -> dict[str, Any]:
        """Returns the rows without training."""
        rows: dict[str, Any] = {}
        for style in STYLES:
            rows[f"labelled masks, {style}"] = self._stored(
                f"masks-{style}", lambda s=style: self.names(self.clip, None, s)
            )
        if self.proposals is not None:
            rows["proposals, true names"] = self._stored("oracle", self.oracle)
            for scores in ("proposals", "clip", "both"):
                rows[f"proposals, names by {scores}"] = self._stored(
                    f"names-{scores}", lambda s=scores: self.segments(self.clip, None, s)
                )
        return rows

    def adapted(self, name: str, row: Row, seed: int, ft: Row) -> dict[str, Any]:
        """Returns the scores of a row, trained where they are not there."""
        return self._stored(
            f"{_slug(name)}-{_slug(row.pairs)}-{seed}", lambda: self._train(name, row, seed, ft)
        )

    def _train(self, name: str, row: Row, seed: int, ft: Row) -> dict[str, Any]:
        model = self.options.clip
        if row.after_ft:
            model = str(self._model_of("FT", ft, seed))
        folder = self.out / "models" / f"{_slug(name)}-{_slug(row.pairs)}-{seed}"
        recipe = make_recipe(
            {
                "model": model,
                "pairs": str(self.pairs(row.pairs)),
                "data": f"{WORLD}&length={self.options.scenes}&captions=5",
                "stages": [{"mode": row.mode, "preset": PRESETS[row.mode], "depth": row.depth}],
                "text_template": TEXT,
                "templates": TEMPLATES,
                "short_side": SIZE,
                "seed": seed,
                **dict(self.options.settings),
            }
        )
        began = time.perf_counter()
        found = train_on_pairs(recipe, out=folder, resume=True, progress=False)
        assert found is not None
        seconds = time.perf_counter() - began
        clip = cast(ClipVit, load_backbone(found.model or model))
        prompts = Prompts.load(found.prompts) if found.prompts else None
        extra = {"pairs": found.metrics["pairs"], "seconds": seconds}
        result = self.scores(clip, prompts) | extra
        print(name, seed, {k: round(result["masks"][k], 3) for k in COLUMNS}, flush=True)
        return result

    def _model_of(self, name: str, row: Row, seed: int) -> Path:
        """Returns the model folder that a row has left."""
        self.adapted(name, row, seed, row)
        folder = self.out / "models" / f"{_slug(name)}-{_slug(row.pairs)}-{seed}"
        return next(path.parent for path in folder.glob("*/model.safetensors"))

    def _stored(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        file = self.out / f"{name}-{self.options.split}.json"
        if not file.is_file():
            values = make()
            with atomic_write(file) as temporary:
                temporary.write_text(json.dumps(values, indent=2) + "\n")
        return json.loads(file.read_text())


def main() -> None:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--clip", default="clip-vit-tiny")
    parser.add_argument("--proposals", default="maskformer-tiny", help='"" leaves them out')
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--split", default="test", help="choose settings on val")
    parser.add_argument("--images", type=int, default=50, help="scored scenes")
    parser.add_argument("--scenes", type=int, default=200, help="of train, that pairs are from")
    parser.add_argument("--rows", nargs="+", help="names of rows; default: all")
    set_option(parser, "field of the recipe; may be repeated")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the tables here")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    bench = Bench(options)
    has_proposals = bench.proposals is not None
    sets = [name for name in PAIR_SETS if has_proposals or "proposals" not in name]
    rows = rows_for(DEFAULT_PAIRS if has_proposals else sets[-1], sets)
    bounds = bench.bounds()
    runs = {
        name: [bench.adapted(name, row, seed, rows["FT"]) for seed in options.seeds]
        for name, row in rows.items()
        if options.rows is None or name in options.rows
    }
    print(f"\n{machine()}; split {options.split}, {len(bench.scored)} scenes, seeds", end=" ")
    print(f"{options.seeds}; percent, mean ± std over seeds")
    _print_bounds(bounds)
    _print_runs(runs, rows, bounds, has_proposals)
    if options.json:
        values = {"machine": machine(), "bounds": bounds, "runs": runs}
        options.json.write_text(json.dumps(values, indent=2) + "\n")


def _print_bounds(bounds: Mapping[str, Mapping[str, float]]) -> None:
    print("\nwithout training")
    cells = []
    for name, row in bounds.items():
        top = f"{100 * row['top-1']:.1f}" if "top-1" in row else ""
        cells.append((name, *(f"{100 * row[key]:.1f}" for key in COLUMNS), top))
    print_table(("masks, names", *COLUMNS, "top-1"), cells)


def _print_runs(
    runs: Mapping[str, list[dict[str, Any]]],
    rows: Mapping[str, Row],
    bounds: Mapping[str, Mapping[str, float]],
    has_proposals: bool,
) -> None:
    kinds = {"masks": "labelled masks"}
    if has_proposals:
        kinds |= {"clip": "proposals, names by CLIP", "both": "proposals, names by both"}
    before = {
        "masks": bounds["labelled masks, cropmask"],
        "clip": bounds.get("proposals, names by clip"),
        "both": bounds.get("proposals, names by both"),
    }
    for kind, title in kinds.items():
        print(f"\n{title}")
        start = before[kind]
        assert start is not None
        cells = [("as it is", "", "", *(f"{100 * start[key]:.1f}" for key in COLUMNS), "")]
        for name, found in runs.items():
            values = [_spread([run[kind][key] for run in found]) for key in COLUMNS]
            seconds = f"{statistics.mean(run['seconds'] for run in found):.0f}"
            cells.append((name, rows[name].pairs, str(found[0]["pairs"]), *values, seconds))
        print_table(("CLIP", "pairs", "number", *COLUMNS, "s"), cells)


def _spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}"


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


if __name__ == "__main__":
    main()
