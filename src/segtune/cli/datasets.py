"""`segtune datasets`: what `DATA` can be."""

from __future__ import annotations

from argparse import Namespace

from segtune.cli.tables import print_table
from segtune.data.formats import layouts
from segtune.data.synthetic.worlds import make_world, world_names

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


def run(options: Namespace) -> int:
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
