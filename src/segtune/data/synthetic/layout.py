"""Where stuff lies in an image: one to four regions behind a horizon, a bank, a path, a patch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtune.data.synthetic.attributes import STUFF
from segtune.data.synthetic.noise import Field
from segtune.data.synthetic.surfaces import TilePool

TILE_PIXELS_ACROSS = 320.0  # tile pixels under the shorter side of an image
BACKDROPS = ("sky", "sky", "sky", "sky", "leaves", "brick", "water", "snow")
REGION_COUNTS, REGION_SHARES = (1, 2, 3, 4), (0.10, 0.40, 0.32, 0.18)


@dataclass(frozen=True)
class Ground:
    """The painted background.

    Attributes:
        image: (H, W, 3) float32, about 0..1.
        stuff_ids: (H, W) int32, indices into `STUFF`.
    """

    image: Field
    stuff_ids: NDArray[np.int32]


def _noise_cut(
    tiles: TilePool, rng: np.random.Generator, size: tuple[int, int], across: float
) -> Field:
    """A cut of the noise field `across` tile pixels wide, resized to `size`."""
    height, width = size
    zoom = across / max(size)
    left = rng.uniform(0, tiles.side - width * zoom)
    top = rng.uniform(0, tiles.side - height * zoom)
    box = (left, top, left + width * zoom, top + height * zoom)
    field = Image.fromarray(tiles.noise).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(field)


def _horizon(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Positive above a gently rolling line; in pixels from the line."""
    height, width = size
    level, roll = rng.uniform(0.2, 0.48) * height, rng.uniform(0.0, 0.06) * height
    line = _noise_cut(tiles, rng, (1, width), rng.uniform(60, 200))[0]
    slope = rng.uniform(-0.08, 0.08) * np.linspace(-1, 1, width, dtype=np.float32) * height
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    return (level + roll * line + slope).astype(np.float32)[None, :] - y


def _bank(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Positive on one side of a winding line through the middle of the image."""
    y, x = _centred(size)
    angle = rng.uniform(0, 2 * math.pi)
    side = min(size)
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    wind = _noise_cut(tiles, rng, size, rng.uniform(60, 130)) * np.float32(
        rng.uniform(0.02, 0.12) * side
    )
    return along + wind - np.float32(rng.uniform(-0.2, 0.2) * side)


def _path(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Positive on a winding strip."""
    bank = _bank(tiles, rng, size)
    return np.float32(rng.uniform(0.12, 0.24) * min(size)) - np.abs(bank)


def _patch(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Positive inside a ragged blob."""
    y, x = _centred(size)
    side = min(size)
    x0, y0 = rng.uniform(-0.32, 0.32) * size[1], rng.uniform(-0.1, 0.35) * size[0]
    wide = rng.uniform(1.0, 1.7)
    distance = np.hypot((x - np.float32(x0)) * np.float32(1 / wide), y - np.float32(y0))
    ragged = _noise_cut(tiles, rng, size, rng.uniform(70, 150)) * np.float32(0.07 * side)
    return np.float32(rng.uniform(0.22, 0.36) * side) - distance + ragged


def _centred(size: tuple[int, int]) -> tuple[Field, Field]:
    height, width = size
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height / 2)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(width / 2)
    return y, x


SHAPES_OF_REGIONS = (_bank, _path, _patch, _patch)


def paint_ground(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Ground:
    """Lays out one to four regions of different stuff and paints them.

    Args:
        tiles: the pool that surfaces and noise are cut from.
        rng: chooses stuff and layout.
        size: (height, width) in pixels.
    """
    num_regions = int(rng.choice(REGION_COUNTS, p=REGION_SHARES))
    has_horizon = num_regions > 1 and rng.random() < 0.6
    backdrop = BACKDROPS[int(rng.integers(len(BACKDROPS)))] if has_horizon else None
    below = [name for name in STUFF if name not in ("sky", backdrop)]
    names = [below[i] for i in rng.permutation(len(below))[: num_regions - has_horizon]]
    if num_regions == 1 and rng.random() < 1 / len(STUFF):
        names = ["sky"]
    fields = [
        SHAPES_OF_REGIONS[int(rng.integers(len(SHAPES_OF_REGIONS)))](tiles, rng, size)
        for _ in names[1:]
    ]
    if backdrop is not None:
        names.append(backdrop)
        fields.append(_horizon(tiles, rng, size))

    scale = TILE_PIXELS_ACROSS / min(size)
    image = np.array(tiles.cut_surface(names[0], rng, size, scale=scale))
    stuff_ids = np.full(size, STUFF.index(names[0]), np.int32)
    edge = max(1.0, min(size) / 48)
    for name, field in zip(names[1:], fields, strict=True):
        surface = tiles.cut_surface(name, rng, size, scale=scale)
        rim = np.exp(np.abs(field) * np.float32(-1 / edge))
        image += np.clip(field + np.float32(0.5), 0, 1)[..., None] * (surface - image)
        image *= (1 - np.float32(0.3) * rim)[..., None]
        stuff_ids[field > 0] = STUFF.index(name)
    return Ground(image, stuff_ids)
