"""Fog, night, rain and snow over a finished image: the synthetic counterpart of ACDC.

Only pixels change; labels stay those of the clear scene with the same index, so that a loss in
score is due to the weather alone. There is no depth, so height in the image stands in for it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segtune.data.synthetic.noise import Field, make_rgb, smoothstep
from segtune.data.synthetic.surfaces import TilePool

Weather = Callable[[Field, np.random.Generator, TilePool], Field]
LUMA = make_rgb(0.299, 0.587, 0.114)


def _clouds(tiles: TilePool, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """(H, W) float32 smooth noise, mean about 0, standard deviation about 1."""
    cut = 180.0
    left, top = rng.uniform(0, tiles.side - cut, 2)
    field = Image.fromarray(tiles.noise).resize(
        size[::-1], Image.Resampling.BICUBIC, box=(left, top, left + cut, top + cut)
    )
    return np.asarray(field)


def _farness(size: tuple[int, int]) -> Field:
    """(H, 1) float32, 1 at the top of the image and 0 at the bottom."""
    return np.linspace(1, 0, size[0], dtype=np.float32)[:, None]


def _fade(image: Field, amount: float, tint: tuple[float, float, float], gain: float) -> Field:
    """Takes away `amount` of the saturation, then tints and scales."""
    grey = (image @ LUMA)[..., None]
    return (image + np.float32(amount) * (grey - image)) * (make_rgb(*tint) * np.float32(gain))


def fog(image: Field, rng: np.random.Generator, tiles: TilePool) -> Field:
    size = image.shape[:2]
    thickness = rng.uniform(0.85, 1.2) * (0.42 + 0.62 * _farness(size))
    density = thickness * (1 + 0.22 * _clouds(tiles, rng, size))
    veil = 1 - np.exp(-1.5 * np.clip(density, 0.1, 2.5)).astype(np.float32)
    air = make_rgb(0.80, 0.82, 0.84) * np.float32(rng.uniform(0.92, 1.05))
    soft = ndimage.gaussian_filter(image, (0.6, 0.6, 0))
    return soft + veil[..., None] * (air - soft)


def night(image: Field, rng: np.random.Generator, tiles: TilePool) -> Field:
    height, width = image.shape[:2]
    side = min(height, width)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    glow = np.zeros((height, width), np.float32)
    halo = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        lamp_x, lamp_y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.0, 0.6) * height
        distance = np.hypot(x - np.float32(lamp_x), (y - np.float32(lamp_y)) * np.float32(0.8))
        glow += np.exp(-((distance / np.float32(rng.uniform(0.22, 0.4) * side)) ** 2))
        halo += np.exp(-distance / np.float32(0.028 * side))
    dark = _fade(image, 0.35, (0.62, 0.76, 1.12), rng.uniform(0.24, 0.34))
    warm = image * make_rgb(0.80, 0.64, 0.42)
    lit = dark + np.clip(glow, 0, 1.1)[..., None] * warm
    lit += np.minimum(halo, 1)[..., None] * make_rgb(1.0, 0.86, 0.58)
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.028)
    return lit + grain


def _streaks(rng: np.random.Generator, size: tuple[int, int], length: int, share: float) -> Field:
    """Slanted bright lines; (H, W) float32 in 0..1."""
    height, width = size
    seeds = (rng.random((height, width), dtype=np.float32) < share).astype(np.float32)
    seeds *= rng.uniform(0.4, 1.0, (height, width)).astype(np.float32)
    lines = ndimage.uniform_filter1d(seeds, length, axis=0, mode="wrap") * length
    slant = rng.uniform(-0.25, 0.25) * np.arange(height)[:, None]
    columns = (np.arange(width)[None, :] + np.round(slant).astype(int)) % width
    return np.minimum(np.take_along_axis(lines, columns, axis=1), 1)


def _through_drops(image: Field, rng: np.random.Generator, count: int) -> Field:
    """The image seen through a few round drops on the lens, each showing it upside down."""
    height, width = image.shape[:2]
    side, result = min(height, width), image.copy()
    for _ in range(count):
        radius = rng.uniform(0.02, 0.05) * side
        centre_x, centre_y = rng.uniform(0, width), rng.uniform(0, height)
        top, bottom = max(0, int(centre_y - radius)), min(height, int(centre_y + radius) + 2)
        left, right = max(0, int(centre_x - radius)), min(width, int(centre_x + radius) + 2)
        y, x = np.ogrid[top:bottom, left:right]
        off_x, off_y = (x - centre_x) / radius, (y - centre_y) / radius
        distance = np.hypot(off_x, off_y)
        source_x = np.clip(centre_x - 2.4 * radius * off_x, 0, width - 1).astype(int)
        source_y = np.clip(centre_y - 2.4 * radius * off_y, 0, height - 1).astype(int)
        rows, columns = np.broadcast_arrays(source_y, source_x)
        shine = 1.08 - 0.35 * off_y * distance
        inside = np.clip((1 - distance) * radius, 0, 1).astype(np.float32)[..., None]
        window = result[top:bottom, left:right]
        seen = image[rows, columns] * shine[..., None].astype(np.float32)
        window += 0.9 * inside * (seen - window)
    return result


def rain(image: Field, rng: np.random.Generator, tiles: TilePool) -> Field:
    size = image.shape[:2]
    side = min(size)
    dull = _fade(image, 0.38, (0.90, 0.97, 1.06), rng.uniform(0.56, 0.68))
    mist = np.float32(0.16) + np.float32(0.26) * _farness(size)
    mist = np.clip(mist * (1 + 0.3 * _clouds(tiles, rng, size)), 0, 0.6)[..., None]
    dull = dull + mist * (make_rgb(0.46, 0.49, 0.53) - dull)
    near = _streaks(rng, size, max(5, side // 9), 0.0035)
    far = _streaks(rng, size, max(3, side // 18), 0.008)
    dull += (np.float32(0.34) * near + np.float32(0.17) * far)[..., None]
    return _through_drops(dull, rng, int(rng.integers(6, 14)))


def _flakes(rng: np.random.Generator, size: tuple[int, int], radius: float, share: float) -> Field:
    """Soft white dots; (H, W) float32 in 0..1."""
    seeds = (rng.random(size, dtype=np.float32) < share).astype(np.float32)
    dots = ndimage.gaussian_filter(seeds, (radius, radius * rng.uniform(0.7, 1.0)), mode="wrap")
    return np.minimum(dots * np.float32(2 * np.pi * radius * radius * 1.3), 1)


def snow(image: Field, rng: np.random.Generator, tiles: TilePool) -> Field:
    size = image.shape[:2]
    unit = min(size) / 192
    pale = _fade(image, 0.28, (0.95, 0.99, 1.06), rng.uniform(0.86, 0.98))
    drifts = _clouds(tiles, rng, size) + np.float32(0.6) * _clouds(tiles, rng, size)
    level = float(np.quantile(drifts, rng.uniform(0.78, 0.95)))  # share of the image left clear
    cover = np.float32(0.8) * smoothstep(level, level + 0.4, drifts)
    pale = pale + cover[..., None] * (make_rgb(0.90, 0.93, 0.98) - pale)
    veil = (np.float32(0.10) + np.float32(0.22) * _farness(size))[..., None]
    pale = pale + veil * (np.float32(0.88) - pale)
    flakes = np.zeros(size, np.float32)
    for radius, share in ((0.7, 0.010), (1.3, 0.0028), (2.4, 0.0006)):
        flakes = np.maximum(flakes, _flakes(rng, size, max(0.5, radius * unit), share / unit**2))
    return pale + (np.float32(0.92) * flakes)[..., None] * (1 - pale)


WEATHERS: dict[str, Weather] = {"fog": fog, "night": night, "rain": rain, "snow": snow}


def apply_weather(
    name: str, image: NDArray[np.uint8], rng: np.random.Generator, tiles: TilePool
) -> NDArray[np.uint8]:
    """The image under a weather.

    Args:
        name: "fog", "night", "rain" or "snow".
        image: (H, W, 3) uint8.
        rng: decides strength and every streak, flake and lamp.
        tiles: pool whose noise field drifts and banks are cut from.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    changed = WEATHERS[name](image.astype(np.float32) / np.float32(255), rng, tiles)
    return (np.clip(changed, 0, 1) * 255).astype(np.uint8)
