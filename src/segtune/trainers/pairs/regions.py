"""Where pairs come from, and the region that each one shows, cut out when it is first looked at."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.data.pairs import Pair, encode_rle, read_pairs
from segtune.data.regions import named_regions
from segtune.errors import DataError
from segtune.ops.normalisation import Normalisation
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import RegionConfig
from segtune.storage.images import read_image
from segtune.types import Dataset

KEPT_BYTES = 2**30
"""Memory for regions that were cut before; further ones are cut anew every time."""
GROUND_TRUTH = "ground-truth"


@dataclass(frozen=True)
class Crop:
    """A released pair: the picture of a region, already cut and painted over, and its words."""

    file: Path
    text: str


@dataclass(frozen=True)
class Region:
    """What a pair shows.

    Attributes:
        pixels: (3, S, S) float16 or uint8: normalised, or RGB 0..255 for a `Crop`.
        mask: (S, S) bool; None for a `Crop`, whose mask is what has not the colour of the paint.
    """

    pixels: Tensor
    mask: Tensor | None


def labelled_pairs(dataset: Dataset) -> Iterator[Pair]:
    """Yields a pair of every labelled region of a dataset and the name of its class.

    Set (1) of the paper: masks and words from the ground truth.
    """
    names = dataset.vocabulary.names
    for index in range(len(dataset)):
        sample = dataset[index]
        for region in named_regions(sample, dataset.vocabulary):
            height, width = region.mask.shape
            yield Pair(
                image=str(sample.image) if isinstance(sample.image, Path) else sample.id,
                id=sample.id,
                size=(height, width),
                rle=encode_rle(region.mask),
                box_px=region.box_px,
                text=names[region.class_id],
                noun=names[region.class_id],
                caption=-1,
                score=1.0,
                source=GROUND_TRUTH,
            )


def open_pairs(path: Path) -> list[Pair] | list[Crop]:
    """Returns the pairs of a file of `segtune mine`, or the crops of a released table.

    Args:
        path: JSON lines or Parquet; or .tsv or .csv with the columns `filepath` and `title`, whose
            pictures are found beside it or where they say.

    Raises:
        FileNotFoundError, DataError: missing, empty or of another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"pairs {path} do not exist; `segtune mine` writes such a file")
    found: list[Pair] | list[Crop]
    if path.suffix.lower() in (".tsv", ".csv"):
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="," if path.suffix == ".csv" else "\t"))
        if not rows or not {"filepath", "title"} <= set(rows[0]):
            raise DataError(f"{path} has no rows with the columns filepath and title")
        found = [Crop(path.parent / row["filepath"], row["title"]) for row in rows]
    else:
        found = list(read_pairs(path))
    if not found:
        raise DataError(f"{path} has no pairs; mine more images, or with fewer filters")
    return found


class PairRegions:
    """The regions of pairs, in their order; a region is cut once as long as memory allows.

    Args:
        pairs: of any number of images.
        config: how regions are cut; its size is that of the CLIP.
        normalisation: of the CLIP.
        folder: where relative paths of images start.
        dataset: has the images of pairs whose `image` is the id of a sample.
    """

    def __init__(
        self,
        pairs: Sequence[Pair] | Sequence[Crop],
        config: RegionConfig,
        *,
        normalisation: Normalisation,
        folder: Path | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        self.pairs, self.config = pairs, config
        self._normalisation = normalisation
        self._folder, self._dataset = folder or Path(), dataset
        self._index: dict[str, int] = {}
        if dataset is not None:
            self._index = {dataset.sample_id(i): i for i in range(len(dataset))}
        self._most = KEPT_BYTES // (config.size**2 * 7)
        self._kept: dict[int, Region] = {}
        self._last: tuple[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Region:
        region = self._kept.get(index)
        if region is None:
            pair = self.pairs[index]
            region = self._cut(pair) if isinstance(pair, Pair) else self._read(pair)
            if len(self._kept) < self._most:
                self._kept[index] = region
        return region

    def _cut(self, pair: Pair) -> Region:
        pixels = self._pixels(pair)
        if pixels.shape[:2] != pair.size:
            h, w = pair.size
            raise DataError(
                f"the pairs were made for an image {pair.image} of {w}x{h}, but it is "
                f"{pixels.shape[1]}x{pixels.shape[0]}"
            )
        mask = torch.from_numpy(pair.mask())[None]
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float()
        config = replace(self.config, empty="full_image")  # mined masks are not empty
        cut = cut_regions(image, mask, config, normalisation=self._normalisation)
        return Region(cut.pixels[0].half(), cut.masks[0] > 0)

    def _pixels(self, pair: Pair) -> np.ndarray:
        """Returns the (H, W, 3) image of a pair; the last one is kept, as pairs often share it."""
        if self._last is not None and self._last[0] == pair.image:
            return self._last[1]
        if pair.image in self._index and self._dataset is not None:
            pixels = self._dataset[self._index[pair.image]].pixels()
        else:
            file = self._folder / pair.image
            if not file.is_file():
                file = Path(pair.image)
            if not file.is_file():
                raise DataError(
                    f"there is no image {pair.image} in {self._folder} and no sample of that name; "
                    "name the data set of the pairs with `data:` (--set data=DATA)"
                )
            pixels = read_image(file)
        self._last = (pair.image, pixels)
        return pixels

    def _read(self, crop: Crop) -> Region:
        pixels = torch.from_numpy(read_image(crop.file)).permute(2, 0, 1)
        side = self.config.size
        if pixels.shape[1:] != (side, side):
            resized = F.interpolate(pixels[None].float(), (side, side), mode="bicubic")[0]
            pixels = resized.round().clamp(0, 255).byte()
        return Region(pixels, None)
