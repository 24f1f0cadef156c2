"""`segtune datasets`: what `DATA` can be, and data sets that are made of others."""

from __future__ import annotations

from argparse import Namespace

from segtune.cli.tables import print_table
from segtune.data.formats import layouts
from segtune.data.synthetic.worlds import make_world, world_names
from segtune.errors import SegtuneError

ABOUT_WORLDS = {
    "base": "coloured, textured things on stuff; a quarter of the things is unseen in training",
    "base-15-5": "20 things, 15 seen and 5 unseen; all else is unlabelled",
    "longtail": "120 things by Zipf's law: known, seen without labels, and unseen",
    "jargon": "known things under names that the text encoder never read",
    "fog": "base in fog",
    "night": "base at night",
    "rain": "base in rain",
    "snow": "base in snow",
}


SOURCES = ("lvis_train", "lvis_val", "coco", "out")


def run(options: Namespace) -> int:
    """Prints the layouts and the generated worlds, or builds a data set."""
    given = [name for name in SOURCES if getattr(options, name) is not None]
    if options.what is None:
        if given:
            raise SegtuneError(
                f"{_option(given[0])} is about building; type `build lvis-ow` before it"
            )
        return _list()
    if options.name is None:
        raise SegtuneError("build which data set? type `segtune datasets build lvis-ow ...`")
    if lacking := [name for name in SOURCES if name not in given]:
        raise SegtuneError(
            f"build lvis-ow needs {' and '.join(map(_option, lacking))}; "
            "`segtune datasets --help` shows a whole command"
        )
    return _build(options)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _build(options: Namespace) -> int:
    """Builds LVIS-OW, and prints what was written and what is true of it."""
    from segtune.data.lvis_ow.building import VAL_RESPLIT, Sources, build
    from segtune.data.lvis_ow.invariants import check

    sources = Sources.open(options.lvis_train, options.lvis_val, options.coco)
    build(sources, options.out, merge=options.merge)
    for sentence in check(sources, options.out):
        print(f"checked: {sentence}")
    val = options.out / VAL_RESPLIT
    print(
        f"score a model with `segtune evaluate '{val}?images=COCO' --protocol LVIS-OW`, where COCO "
        "is the folder of train2017 and val2017"
    )
    return 0


def _list() -> int:
    """Prints the layouts and the generated worlds."""
    rows = [(layout.name, layout.looks_like) for layout in layouts()]
    print_table(("layout", "looks like"), rows, title="layouts, found by looking at the files")
    worlds = [
        (f"synthetic:{name}", str(len(make_world(name).vocabulary)), ABOUT_WORLDS[name])
        for name in world_names()
    ]
    print()
    print_table(("world", "classes", "about"), worlds, title="generated worlds")
    print("\noptions follow a question mark, as in synthetic:base?size=128&length=50")
    return 0
