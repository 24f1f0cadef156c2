"""Noun finders on labelled captions, and the pairs that `segtune mine` makes of their nouns.

    python benchmarks/mining.py [--captions FILE] [--data synthetic:base] [--images 200] [--json F]

First table: precision and recall on captions labelled by hand (`tests/vocabulary/nouns`), exact and
by head word. Second table: pairs from ground-truth masks, their precision against the labels and
what `--nouns` and `--captions` change. Finders whose package or data is missing are named and left
out. Regions are embedded once for all rows, in the folder of --cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from segtune.engine.mine import MineConfig, mine

from segtune.cli.mine import build_stage
from segtune.cli.tables import percent, print_table
from segtune.data.formats import open_dataset
from segtune.data.samples import Subset
from segtune.engine.statistics import MineStatistics, statistics_of
from segtune.errors import SegtuneError
from segtune.ops.regions.recipes import OVSEG
from segtune.storage.files import cache_dir
from segtune.types import Dataset
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.nouns.base import NounExtractor
from segtune.vocabulary.nouns.registry import make_extractor
from segtune.vocabulary.nouns.scores import read_labelled, score_nouns

CAPTIONS = Path(__file__).resolve().parents[1] / "tests" / "vocabulary" / "nouns" / "captions.jsonl"
FINDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lexicon": ("lexicon", {}),
    "rules": ("rules", {}),
    "rules, single words": ("rules", {"compounds": False}),
    "nltk": ("nltk", {}),
    "spacy": ("spacy", {}),
}
"""Row -> backend and options."""
LEXICON = "ade20k_847"
"""Words of the lexicon on the labelled captions; on the data it has the classes of the data."""


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, default=CAPTIONS, help="labelled captions")
    parser.add_argument("--data", nargs="+", default=["synthetic:base?captions=5"])
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--model", default="clip-vit-tiny", help="a CLIP")
    parser.add_argument("--cache", type=Path, default=cache_dir() / "regions")
    parser.add_argument("--json", type=Path, help="also write the tables here")
    options = parser.parse_args()
    labelled = read_labelled(options.captions)
    nouns = []
    for name in FINDERS:
        if (finder := _finder(name, builtin(LEXICON))) is not None:
            nouns.append({"finder": name, **asdict(score_nouns(finder, labelled))})
    shares = ("precision", "recall", "head_precision", "head_recall")
    print_table(
        ("%", *(share.replace("_", " ") for share in shares)),
        [(row["finder"], *(percent(row[share]) for share in shares)) for row in nouns],
        title=f"{len(labelled)} labelled captions; lexicon: {LEXICON}",
    )
    pairs = []
    for data in options.data:
        dataset = open_dataset(data, split=options.split)
        dataset = Subset(dataset, range(min(options.images, len(dataset))))
        for name in FINDERS:
            for captions, drop in ((1, False), (1, True), (None, False)):
                found = _mined(name, dataset, options, captions=captions, drop_generic=drop)
                if found is not None:
                    row = {"data": data, "finder": name, "captions": captions, "drop_generic": drop}
                    pairs.append(row | found.values())
    print()
    print_pairs(pairs, f"{options.images} images, {options.split}, masks ground-truth")
    if options.json:
        options.json.write_text(json.dumps({"nouns": nouns, "pairs": pairs}, indent=1) + "\n")


def print_pairs(pairs: list[dict[str, Any]], title: str) -> None:
    """Prints the table of mined pairs."""
    rows = [
        (
            row["data"],
            row["finder"] + (", no generic" if row["drop_generic"] else ""),
            str(row["captions"] or "all"),
            str(row["pairs"]),
            f"{row['pairs_per_image']:.2f}",
            str(row["unique_nouns"]),
            percent(row["precision"]["exact"]),
            percent(row["precision"]["lenient"]),
        )
        for row in pairs
    ]
    columns = ("data", "nouns", "captions", "pairs", "per image", "unique")
    print_table((*columns, "right %", "or partly %"), rows, title=title)


def _finder(name: str, vocabulary: Any) -> NounExtractor | None:
    backend, options = FINDERS[name]
    try:
        return make_extractor(backend, vocabulary=vocabulary, options=options)
    except SegtuneError as missing:
        print(f"{name} is left out: {missing}")
        return None


def _mined(
    name: str,
    dataset: Dataset,
    options: argparse.Namespace,
    *,
    captions: int | None,
    drop_generic: bool,
) -> MineStatistics | None:
    """Returns what comes of one finder; None where it is not installed."""
    try:
        backend, given = FINDERS[name]
        finder = make_extractor(backend, vocabulary=dataset.vocabulary, options=given)
    except SegtuneError:
        return None
    build = partial(
        build_stage,
        dataset,
        model=options.model,
        tokenizer=None,
        masks="ground-truth",
        mask_size=None,
        mask_threshold=0.5,
        regions=OVSEG,
        cache=options.cache,
    )
    config = MineConfig(captions=captions, drop_generic=drop_generic)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pairs.jsonl"
        mined = mine(dataset, build, finder, out=out, config=config)
        return statistics_of(mined.log)


if __name__ == "__main__":
    main()
