"""Renders scenes with exact labels, and single-object crops, from a random generator.

Everything is a pure function of the generator, the size and the `TilePool`: things are placed,
drawn back to front, and what stays visible of each becomes its mask.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segtune.data.synthetic.attributes import STUFF, Composition
from segtune.data.synthetic.layout import TILE_PIXELS_ACROSS, paint_ground
from segtune.data.synthetic.noise import Field
from segtune.data.synthetic.objects import (
    Patch,
    Pose,
    draw_object,
    paint,
    sample_light,
    sample_pose,
)
from segtune.data.synthetic.surfaces import TilePool

MIN_VISIBLE_SHARE = 0.4  # a thing hidden further than this is left out of the scene
MIN_VISIBLE_PX = 16
SMALLEST, LARGEST = 64, 512
"""Sides of scenes in pixels."""


@dataclass(frozen=True)
class Scene:
    """One image and everything that is true about it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        things: composition number of each visible thing, as given by `choose`, back to front.
        thing_map: (H, W) int32, index into `things`, -1 where stuff shows.
        stuff_ids: (H, W) int32, index into `STUFF` of what lies at each pixel, below things too.
        points: (N, 2) float32 (x, y) in pixels, a point well inside the visible part of each thing.
    """

    image: NDArray[np.uint8]
    things: tuple[int, ...]
    thing_map: NDArray[np.int32]
    stuff_ids: NDArray[np.int32]
    points: NDArray[np.float32]

    @property
    def visible_stuff(self) -> tuple[str, ...]:
        """Names of the stuff that shows on at least 2 % of the image, largest first."""
        counts = np.bincount(self.stuff_ids[self.thing_map < 0], minlength=len(STUFF))
        order = np.argsort(-counts, kind="stable")
        return tuple(STUFF[i] for i in order if counts[i] >= 0.02 * self.stuff_ids.size)


@lru_cache(maxsize=1)
def default_tiles() -> TilePool:
    """The pool used wherever none is given; its content depends on nothing but its seed 0."""
    return TilePool(0)


def _finish(image: Field, rng: np.random.Generator, *, noise: float) -> NDArray[np.uint8]:
    """Illumination, slight blur and sensor noise; (H, W, 3) float32 in 0..1 to uint8."""
    height, width = image.shape[:2]
    gain = rng.normal(1.0, 0.02, 3).astype(np.float32) * np.float32(rng.uniform(0.84, 1.14))
    fall_y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(rng.normal(0, 0.06))
    fall_x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(rng.normal(0, 0.06))
    image = image * (1 + fall_y + fall_x)[..., None]
    image *= gain * np.float32(255)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.3, 0.6)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=2.5)
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(
        255 * noise * rng.uniform(0.4, 1.6)
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def _place(rng: np.random.Generator, size: tuple[int, int], num_things: int) -> list[Pose]:
    """Poses that overlap a little at most, sorted back (top) to front (bottom)."""
    side = min(size)
    largest = 0.45 if num_things <= 4 else 0.36
    poses: list[Pose] = []
    for _ in range(num_things):
        radius = rng.uniform(0.18, largest) * side / 2
        for _ in range(12):
            x = rng.uniform(0.7 * radius, size[1] - 0.7 * radius)
            y = rng.uniform(0.7 * radius, size[0] - 0.7 * radius)
            gaps = [
                math.dist((x, y), pose.centre) - 0.65 * (radius + pose.radius) for pose in poses
            ]
            if not gaps or min(gaps) > 0:
                poses.append(sample_pose(rng, (x, y), radius))
                break
    return sorted(poses, key=lambda pose: pose.centre[1])


def _visible_masks(
    patches: Sequence[Patch | None], size: tuple[int, int]
) -> list[NDArray[np.bool_] | None]:
    """The uncovered part of each patch, front ones first served; None where too little is left."""
    free = np.ones(size, np.bool_)
    masks: list[NDArray[np.bool_] | None] = [None] * len(patches)
    for i in reversed(range(len(patches))):
        patch = patches[i]
        if patch is None:
            continue
        covered = patch.alpha > 0.5
        visible = covered & free[patch.window]
        if visible.sum() >= max(MIN_VISIBLE_PX, MIN_VISIBLE_SHARE * covered.sum()):
            masks[i] = visible
            free[patch.window] &= ~covered
    return masks


def inner_point(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """(x, y) of the pixel centre farthest from the border of the mask."""
    padded = np.pad(mask, 1)
    depth: Field = ndimage.distance_transform_cdt(padded, metric="taxicab")[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(column) + 0.5, float(row) + 0.5


def compose_scene(
    compositions: Sequence[Composition],
    choose: Callable[[np.random.Generator, int], NDArray[np.int64]],
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (192, 192),
    tiles: TilePool | None = None,
) -> Scene:
    """Renders a scene with 2-8 things on 1-4 regions of stuff.

    Args:
        compositions: what a thing number means.
        choose: draws that many thing numbers, (n,) int, given the generator.
        rng: decides everything else.
        size: (height, width) in pixels, each 64..512.
        tiles: pool of surfaces; the default pool where None.
    """
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise ValueError(
            f"scenes are {SMALLEST} to {LARGEST} px on each side, not {size[0]}x{size[1]}"
        )
    tiles = tiles or default_tiles()
    ground = paint_ground(tiles, rng, size)
    light = sample_light(rng)
    poses = _place(rng, size, int(rng.integers(2, 9)))
    numbers = choose(rng, len(poses))
    patches = [
        draw_object(compositions[int(number)], pose, light, rng, size)
        for number, pose in zip(numbers, poses, strict=True)
    ]
    image, thing_map = ground.image, np.full(size, -1, np.int32)
    things: list[int] = []
    points: list[tuple[float, float]] = []
    for number, patch, mask in zip(numbers, patches, _visible_masks(patches, size), strict=True):
        if patch is None or mask is None:
            continue
        paint(image, patch)
        thing_map[patch.window][mask] = len(things)
        x, y = inner_point(mask)
        points.append((x + patch.left, y + patch.top))
        things.append(int(number))
    return Scene(
        image=_finish(image, rng, noise=0.012),
        things=tuple(things),
        thing_map=thing_map,
        stuff_ids=ground.stuff_ids,
        points=np.array(points, np.float32).reshape(-1, 2),
    )


def render_crop(
    composition: Composition,
    rng: np.random.Generator,
    *,
    size: int = 64,
    stuff: str | None = None,
    tiles: TilePool | None = None,
) -> NDArray[np.uint8]:
    """A close-up of one thing that fills 60-95 % of the frame, sometimes partly cut off.

    Args:
        composition: the thing.
        rng: decides everything else.
        size: side of the square crop in pixels.
        stuff: what it lies on; random where None.
        tiles: pool of surfaces; the default pool where None.

    Returns:
        (size, size, 3) uint8 RGB.

    Example:
        >>> crop = render_crop(Composition.parse("striped red star"), np.random.default_rng(0))
        >>> crop.shape, crop.dtype
        ((64, 64, 3), dtype('uint8'))
    """
    tiles = tiles or default_tiles()
    image = _close_up_ground(rng, size, stuff, tiles)
    half = size / 2
    extent = rng.uniform(0.60, 0.95) * half
    reach = 0.4 * extent if rng.random() < 0.15 else 0.8 * (half - extent)
    radius = extent / 0.92  # outlines span about 0.92 radii
    x, y = half + rng.uniform(-reach, reach, 2)
    patch = draw_object(
        composition, sample_pose(rng, (x, y), radius), sample_light(rng), rng, (size, size)
    )
    if patch is not None:
        paint(image, patch)
    return _finish(image, rng, noise=0.012)


def render_stuff_crop(
    stuff: str, rng: np.random.Generator, *, size: int = 64, tiles: TilePool | None = None
) -> NDArray[np.uint8]:
    """A close-up of one stuff without anything on it; (size, size, 3) uint8 RGB."""
    return _finish(_close_up_ground(rng, size, stuff, tiles or default_tiles()), rng, noise=0.012)


def _close_up_ground(
    rng: np.random.Generator, size: int, stuff: str | None, tiles: TilePool
) -> Field:
    """One surface at the magnification of a crop; (size, size, 3) float32."""
    name = stuff or STUFF[int(rng.integers(len(STUFF)))]
    # A crop shows a third of a 192-px scene, give or take.
    scale = TILE_PIXELS_ACROSS / (3 * size) * rng.uniform(0.7, 1.6)
    return np.array(tiles.cut_surface(name, rng, (size, size), scale=scale))
