"""`synthetic:NAME`: generated worlds as datasets, with their settings in the name.

    synthetic:base   synthetic:fog?size=128   synthetic:longtail?size=96x128&length=50&seed=3

Options are `size` (one side, or HEIGHTxWIDTH), `length` (number of samples), `seed`, `captions`
(number per image), and, as 0 or 1, `noise` (captions with missing and wrong mentions), `reveal`
(label in training what the world hides there), `stuff_regions` (panoptic labels) and `stored`
(render all scenes once and keep them in the cache of segtune), and `lists` (image-level lists as in
LVIS: classes that are in the image without a label, and some that are not in it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from segtune.errors import DataError

if TYPE_CHECKING:
    from segtune.types import Dataset

PREFIX = "synthetic:"
FORMS = {
    "size": r"\d{1,9}(x\d{1,9})?",
    "length": r"[1-9]\d{0,8}",
    "seed": r"\d{1,9}",
    "captions": r"[1-9]\d{0,8}",
    "noise": "[01]",
    "reveal": "[01]",
    "stuff_regions": "[01]",
    "stored": "[01]",
    "lists": "[01]",
}


def splits() -> tuple[str, ...]:
    """Returns the splits that every world has."""
    from segtune.data.synthetic.dataset import SPLIT_LENGTHS

    return tuple(SPLIT_LENGTHS)


def read(world: str, options: Mapping[str, str], *, split: str | None = None) -> Dataset:
    """Returns one split of the world called `world`; "train" where `split` is None."""
    from segtune.data.synthetic.captions import CLEAN, NOISY
    from segtune.data.synthetic.dataset import SyntheticDataset
    from segtune.data.synthetic.scene import LARGEST, SMALLEST

    for option, value in options.items():
        if option not in FORMS or not re.fullmatch(FORMS[option], value):
            raise DataError(
                f"{option}={value[:60]} is not an option of {PREFIX}{world}; possible are "
                "size=192 or size=128x192, length=100, seed=3, captions=5, noise=1, reveal=1, "
                "stuff_regions=1, lists=1 and stored=1"
            )
    height, _, width = options.get("size", "192").partition("x")
    if not all(SMALLEST <= int(side) <= LARGEST for side in (height, width or height)):
        raise DataError(
            f"size={options['size']}: scenes are {SMALLEST} to {LARGEST} px on each side"
        )
    length = options.get("length")
    dataset = SyntheticDataset(
        world,
        split=split or "train",
        size=(int(height), int(width or height)),
        length=None if length is None else int(length),
        seed=int(options.get("seed", 0)),
        reveal=options.get("reveal") == "1",
        stuff_regions=options.get("stuff_regions") == "1",
        caption_style=NOISY if options.get("noise") == "1" else CLEAN,
        num_captions=int(options.get("captions", 1)),
        image_lists=options.get("lists") == "1",
    )
    if options.get("stored") != "1":
        return dataset
    from segtune.data.synthetic.store import StoredScenes

    return StoredScenes(dataset)
