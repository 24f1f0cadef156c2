"""`segtune convert`: labelled data from any layout to any format."""

from __future__ import annotations

from argparse import Namespace

from segtune.cli.loading import layout_options
from segtune.data.checks.left_out import left_out_of, sentences
from segtune.data.formats import dataset_splits, layout_of, open_dataset
from segtune.errors import SegtuneError
from segtune.export.convert import Converted, convert


def run(options: Namespace) -> int:
    """Writes the data, and prints what was written and what the format cannot hold."""
    if options.out.exists() and any(options.out.iterdir()) and not options.force:
        raise SegtuneError(f"{options.out} is not empty; choose another --out, or add --force")
    found = layout_of(options.data, layout=options.layout)
    splits = dataset_splits(options.data, layout=options.layout)
    chosen = splits if options.split is None else (options.split,)
    done = Converted()
    for split in chosen:
        dataset = open_dataset(
            options.data,
            layout=options.layout,
            split=split,
            vocabulary=options.vocab,
            options=layout_options(options),
            skip_bad=options.skip_bad,
        )
        for line in sentences(left_out_of(dataset)):
            print(f"{split}: {line}")
        convert(dataset, options.out, to=options.to, done=done)
    objects = f" with {done.num_objects} objects" if done.num_objects else ""
    print(f"{found} to {options.to}: {done.num_images} images{objects}")
    for what, count in sorted(done.lost.items()):
        print(f"not held by {options.to}: {count} {what}")
    print(f"wrote {', '.join(dict.fromkeys(map(str, done.places)))}")
    return 0
