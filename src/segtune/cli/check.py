"""`segtune check`: what a fit would see of labelled data, with a contact sheet of its masks."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from segtune.cli.loading import layout_options
from segtune.cli.tables import percent, print_table
from segtune.data.checks.oddities import in_several_splits, oddities, told
from segtune.data.checks.survey import Survey, survey
from segtune.data.formats import dataset_splits, layout_of, open_dataset
from segtune.data.samples import as_segmentation
from segtune.storage.images import write_image
from segtune.types import Dataset
from segtune.viz.overlay import draw_overlay
from segtune.viz.panels import Panel, draw_panels

ODD = 1
"""Exit status where there is something to look at."""
COLUMNS, SHOWN = 4, 12
"""Pictures of the contact sheet: in a row, and of a split."""
CLASSES_SHOWN = 60


def run(options: Namespace) -> int:
    """Prints layout, splits, sizes and classes, and what to look at; draws the contact sheet."""
    found = layout_of(options.data, layout=options.layout)
    splits = dataset_splits(options.data, layout=options.layout)
    chosen = splits if options.split is None else (options.split,)
    print(f"{options.data}: layout {found}, splits {', '.join(splits)}")
    datasets = [
        open_dataset(
            options.data,
            layout=options.layout,
            split=split,
            vocabulary=options.vocab,
            options=layout_options(options),
            skip_bad=options.skip_bad,
        )
        for split in chosen
    ]
    odd = told(in_several_splits(datasets))
    panels: list[Panel] = []
    for dataset in datasets:
        seen = survey(dataset, most=options.most)
        print("\n".join(["", *seen.lines()]))
        found_odd, sizes = _looked_at(dataset, options.most)
        print(f"sizes: {sizes}")
        _print_classes(seen)
        odd += [f"{dataset.split}: {line}" for line in found_odd]
        panels += _panels(dataset)
    print("\n".join(["", *odd]) if odd else "\nnothing odd")
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    write_image(options.out, draw_panels(rows))
    print(f"wrote {options.out}")
    return ODD if odd else 0


def _looked_at(dataset: Dataset, most: int) -> tuple[list[str], str]:
    """Returns what is odd about the images that are read, and their sizes for people."""
    odd = []
    sizes: set[tuple[int, int]] = set()
    for index in tqdm(_spread(len(dataset), most), "looking", disable=None, leave=False, delay=2):
        sample = dataset[index]
        odd += oddities(sample)
        height, width = sample.pixels().shape[:2]
        sizes.add((width, height))
    small, large = min(sizes, key=np.prod), max(sizes, key=np.prod)
    first = f"{small[0]}x{small[1]}"
    return told(odd), first if len(sizes) == 1 else f"{first} to {large[0]}x{large[1]}"


def _spread(count: int, most: int) -> Sequence[int]:
    places = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    chosen: list[int] = np.unique(places).tolist()
    return chosen


def _print_classes(seen: Survey) -> None:
    """Prints pixels and objects of every class."""
    everything = max(int(seen.pixels.sum()) + seen.num_unlabelled, 1)
    rows = [
        (str(number), name, str(pixels), percent(pixels / everything), str(objects))
        for number, (name, pixels, objects) in enumerate(
            zip(seen.vocabulary.names, seen.pixels.tolist(), seen.objects.tolist(), strict=True)
        )
    ]
    print_table(("id", "class", "pixels", "%", "objects"), rows[:CLASSES_SHOWN])
    if len(rows) > CLASSES_SHOWN:
        print(f"and {len(rows) - CLASSES_SHOWN} more")


def _panels(dataset: Dataset) -> list[Panel]:
    """Returns pictures with masks drawn over them."""
    panels = []
    for index in _spread(len(dataset), SHOWN):
        sample = dataset[index]
        result = as_segmentation(sample, dataset.vocabulary)
        picture = draw_overlay(sample.pixels(), result, legend=True, names=False)
        panels.append(Panel(picture, sample.id, dataset.split))
    return panels
