"""What `segtune mine` and `segtune align` share: captioned data, nouns, and the report on pairs."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from segtune.cli.loading import file_size, first, layout_options
from segtune.cli.tables import percent, print_table
from segtune.data.captioned import NO_CLASSES, Captioned, captions_by_id
from segtune.data.checks.left_out import left_out_of, sentences
from segtune.data.formats import open_dataset, read_vocabulary
from segtune.data.pairs import Pair
from segtune.data.readable import with_image
from segtune.data.samples import IndexedDataset
from segtune.engine.entries import Mined, finish, work_folder
from segtune.engine.run import is_work
from segtune.engine.statistics import MineStatistics, statistics_of
from segtune.engine.store import check_store
from segtune.errors import SegtuneError, one_line
from segtune.storage.files import atomic_write
from segtune.storage.images import write_image
from segtune.storage.outputs import Output, begins, check_outputs
from segtune.types import Dataset, Sample
from segtune.viz.pairs import draw_pairs
from segtune.vocabulary.nouns.base import NounExtractor
from segtune.vocabulary.nouns.registry import make_extractor

SAMPLES_TRIED = 100
"""Samples among which one must have captions and, where they are asked for, labels."""
SOME_FAILED = 1
"""Exit status where some images could not be read."""
SHOWN_PAIRS, SHOWN_NOUNS = 24, 10


def open_captioned(options: Namespace) -> Dataset:
    """Returns the dataset with its captions, which must be there."""
    dataset = open_dataset(
        options.data,
        layout=options.layout,
        split=options.split,
        vocabulary=options.vocab,
        options=layout_options(options),
        skip_bad=options.skip_bad,
    )
    for line in sentences(left_out_of(dataset)):
        print(line)
    if options.caption_file is not None:
        said = open_dataset(options.caption_file)
        if not isinstance(said, IndexedDataset) or said.vocabulary != NO_CLASSES:
            raise SegtuneError(
                f"{options.caption_file} is no file of captions; give JSON lines of "
                '{"image": "...", "captions": [...]}, or captions of COCO'
            )
        dataset = Captioned(dataset, captions_by_id(said))
    dataset = first(dataset, options.limit)
    if not any_sample(dataset, lambda sample: bool(sample.captions)):
        raise SegtuneError(
            f"{dataset.name} ({dataset.split}) has no captions; add --caption-file FILE"
        )
    return dataset


def any_sample(dataset: Dataset, holds: Callable[[Sample], bool]) -> bool:
    """Whether something holds for one of the first samples."""
    tried = range(min(len(dataset), SAMPLES_TRIED))
    return any(map(holds, with_image(dataset, tried)))


def is_labelled(sample: Sample) -> bool:
    return bool(sample.instances) or sample.semantic is not None


def noun_finder(options: Namespace, dataset: Dataset) -> Callable[[], NounExtractor]:
    """Returns what makes the noun backend of `--nouns`, whose lexicon are the data's classes."""
    words = dataset.vocabulary if options.lexicon is None else read_vocabulary(options.lexicon)
    if options.nouns == "lexicon" and words == NO_CLASSES:
        raise SegtuneError(
            f"{dataset.name} names no classes for the lexicon; add --lexicon WORDS, such as "
            "--lexicon coco_80, or --nouns rules"
        )
    settings = dict(options.settings)
    if "key" in settings:
        raise SegtuneError(
            "a key on the command line ends up in histories and in the statistics; set "
            "OPENAI_API_KEY instead of --set key"
        )
    return partial(make_extractor, options.nouns, vocabulary=words, options=settings)


def check_pairs_out(out: Path, options: Namespace) -> None:
    """Raises where a file could not be written at the end; an unfinished run goes on."""
    check_store()
    check_outputs([Output(out, lambda path: True)], force=True)
    statistics, sheet = beside(out)
    is_mined = begins(b'{\n "command": "segtune mine', b'{\n "command": "segtune align')
    work = work_folder(out)
    is_going_on = is_work(work)
    if os.path.lexists(work) and not is_going_on:
        raise SegtuneError(
            f"{work} is in the way and no unfinished run; move it, or choose another --out"
        )
    outputs = [
        Output(out, lambda path: is_going_on),
        Output(statistics, is_mined),
        Output(sheet, lambda path: is_mined(statistics) or is_going_on),
    ]
    masks = getattr(options, "masks", None)
    inputs = (options.data, options.caption_file, masks, options.model, options.lexicon)
    check_outputs(outputs, force=options.force, inputs=inputs)


def beside(out: Path) -> tuple[Path, Path]:
    """Returns the paths of the statistics and of the contact sheet, OUT.stats.json and OUT.png."""
    return out.with_suffix(".stats.json"), out.with_suffix(".png")


def report(mined: Mined, dataset: Dataset, options: Namespace) -> int:
    """Prints what was found, writes what stands beside the pairs, and returns the exit status."""
    if mined.resumed:
        print(f"{mined.resumed} images were done by an earlier run")
    statistics = statistics_of(mined.entries)
    _print(statistics, options, dataset)
    files = [mined.path, *_write_beside(statistics, mined, dataset, options)]
    bad = [entry.problem for entry in mined.entries if entry.problem is not None]
    if not options.keep_shards:
        finish(mined)
    for file in files:
        print(f"wrote {file} ({file_size(file)})")
    for problem in bad:
        print(one_line(f"segtune: {problem}"), file=sys.stderr)
    if bad:
        print(f"segtune: {len(bad)} of {len(dataset)} images left out", file=sys.stderr)
    return SOME_FAILED if bad else 0


def _print(statistics: MineStatistics, options: Namespace, dataset: Dataset) -> None:
    """Prints what was mined, how sure and, where there are labels, how right."""
    rows = [
        ("images", f"{statistics.images:,}"),
        ("regions", f"{statistics.regions:,}"),
        ("nouns", f"{statistics.nouns:,}"),
        ("pairs", f"{statistics.pairs:,}"),
        ("pairs per image", f"{statistics.pairs_per_image:.2f}"),
        ("pairs that share a region", f"{statistics.shared:,}"),
        ("unique nouns", f"{statistics.unique_nouns:,}"),
        *((f"score, quantile {name}", f"{value:.3f}") for name, value in statistics.scores.items()),
    ]
    right = statistics.precision
    if right is not None:
        rows += [
            ("right, % of judged pairs", percent(right.exact)),
            ("right or partly right, %", percent(right.lenient)),
            ("judged pairs", f"{right.judged:,}"),
        ]
    nouns = f"nouns {options.nouns}"
    if hasattr(options, "masks"):
        nouns += f", captions {options.captions or 'all'}, masks {options.masks}"
    print_table(("", "number"), rows, title=f"{dataset.name}, {dataset.split}: {nouns}")
    shown = [(noun, str(count)) for noun, count in statistics.top_nouns[:SHOWN_NOUNS]]
    if shown:
        print_table(("noun", "pairs"), shown, title="most frequent")


def _write_beside(
    statistics: MineStatistics,
    mined: Mined,
    dataset: Dataset,
    options: Namespace,
) -> list[Path]:
    """Writes OUT.stats.json and OUT.png beside the pairs."""
    statistics_path, sheet = beside(mined.path)
    files = [statistics_path]
    content = {"command": options.command, "settings": mined.settings, **statistics.values()}
    with atomic_write(files[0]) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    if statistics.pairs:
        files.append(sheet)
        write_image(sheet, draw_pairs(list(_shown(mined, statistics.pairs, dataset))))
    return files


def _shown(mined: Mined, num_pairs: int, dataset: Dataset) -> Iterable[tuple[Pair, np.ndarray]]:
    """Yields pairs at even distances over the whole run, with their images."""
    wanted = set(np.linspace(0, num_pairs - 1, min(SHOWN_PAIRS, num_pairs)).astype(int).tolist())
    number = 0
    for entry in mined.entries:
        pixels = None
        for pair in entry.pairs:
            if number in wanted:
                pixels = dataset[entry.index].pixels() if pixels is None else pixels
                yield pair, pixels
            number += 1
