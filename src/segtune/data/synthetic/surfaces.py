"""Procedural stuff: large RGB tiles of grass, water, brick ... that scenes are cut from.

A tile is rendered once per (stuff, variant) and kept in a `TilePool`; an image takes a randomly
placed and scaled cut of it. That keeps a scene at a few milliseconds while every cut looks
different.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from segtune.data.synthetic.noise import Field, fractal_noise, smoothstep, voronoi

Surface = Callable[[np.random.Generator, int], Field]
Rgb = tuple[int, int, int]


def _ramp(amount: Field, *colours: Rgb) -> Field:
    """Colours interpolated along `amount` in 0..1; returns (H, W, 3) float32 in 0..1."""
    stops = np.linspace(0, 1, len(colours))
    table = np.stack(
        [np.interp(np.linspace(0, 1, 256), stops, [c[k] for c in colours]) for k in range(3)], -1
    )
    return (table / 255).astype(np.float32)[np.clip(amount * 255, 0, 255).astype(np.int32)]


def _axes(side: int) -> tuple[Field, Field]:
    axis = np.arange(side, dtype=np.float32) / side
    return axis[:, None], axis[None, :]


def grass(rng: np.random.Generator, side: int) -> Field:
    patches = fractal_noise(rng, side, slope=1.6)
    blades = fractal_noise(rng, side, slope=0.9, stretch=(5, 1), low_cut=60)
    tips = fractal_noise(rng, side, slope=0.9, stretch=(4, 1), low_cut=40)
    amount = 0.45 + 0.10 * patches + 0.16 * np.maximum(blades, tips)
    colour = _ramp(amount, (28, 52, 18), (62, 100, 34), (112, 146, 58), (178, 190, 96))
    return colour


def water(rng: np.random.Generator, side: int) -> Field:
    swell = fractal_noise(rng, side, slope=1.8, stretch=(1, 3.0), low_cut=6)
    ripples = fractal_noise(rng, side, slope=1.7, stretch=(1, 3.5), low_cut=26)
    amount = 0.42 + 0.10 * swell + 0.08 * ripples
    glint = smoothstep(0.86, 1.0, 1 - np.abs(ripples + 0.4 * swell))
    colour = _ramp(amount, (18, 48, 74), (36, 86, 116), (70, 128, 152), (136, 182, 192))
    return colour + 0.20 * glint[..., None]


def sand(rng: np.random.Generator, side: int) -> Field:
    y, x = _axes(side)
    dunes = fractal_noise(rng, side, slope=2.0)
    ripple = np.sin(2 * math.pi * (14 * y + 3 * x) + 2.2 * dunes)
    grain = fractal_noise(rng, side, slope=0.15)
    amount = 0.55 + 0.08 * dunes + 0.10 * ripple + 0.07 * grain
    return _ramp(amount, (150, 118, 78), (206, 178, 128), (240, 222, 180))


def brick(rng: np.random.Generator, side: int) -> Field:
    y, x = _axes(side)
    rows, columns = 20, 8
    wobble = 0.0016 * fractal_noise(rng, side, slope=1.6)
    row = (y + wobble) * rows
    course = np.floor(row)
    column = (x + wobble) * columns + 0.5 * np.mod(course, 2)
    edge_y = np.abs(row - course - 0.5) * (side / rows)
    edge_x = np.abs(column - np.floor(column) - 0.5) * (side / columns)
    gap = np.maximum(edge_y - side / rows / 2, edge_x - side / columns / 2)
    mortar = smoothstep(-2.6, -1.0, gap)
    tone = rng.random((rows + 2, columns + 2), dtype=np.float32)
    cell = tone[course.astype(int) % rows, np.floor(column).astype(int) % columns]
    grain = fractal_noise(rng, side, slope=0.6)
    clay = _ramp(0.2 + 0.6 * cell + 0.07 * grain, (92, 48, 40), (148, 80, 62), (182, 118, 92))
    lit = smoothstep(-6.0, -2.6, gap) * np.sign(row - course - 0.5)
    clay = clay * (1 - 0.16 * lit)[..., None]
    lime = _ramp(0.5 + 0.12 * grain, (138, 130, 120), (196, 190, 178))
    return clay + mortar[..., None] * (lime - clay)


def sky(rng: np.random.Generator, side: int) -> Field:
    clouds = fractal_noise(rng, side, slope=1.7, stretch=(1, 2.0), low_cut=3)
    wisps = fractal_noise(rng, side, slope=1.4, stretch=(1, 2.5), low_cut=6)
    haze = fractal_noise(rng, side, slope=2.4)
    cover = smoothstep(0.1, 1.7, clouds + 0.35 * wisps)
    blue = _ramp(0.5 + 0.14 * haze, (104, 158, 214), (142, 188, 230), (182, 212, 238))
    white = _ramp(0.6 + 0.2 * wisps, (206, 214, 226), (250, 251, 253))
    return blue + 0.9 * cover[..., None] * (white - blue)


def road(rng: np.random.Generator, side: int) -> Field:
    y, x = _axes(side)
    grain = fractal_noise(rng, side, slope=0.3)
    wear = fractal_noise(rng, side, slope=1.8, stretch=(1, 4))
    asphalt = _ramp(0.45 + 0.13 * grain + 0.08 * wear, (40, 41, 44), (84, 85, 88), (136, 136, 136))
    crack = smoothstep(0.985, 0.998, 1 - np.abs(fractal_noise(rng, side, slope=2.0)))
    asphalt = asphalt * (1 - 0.5 * crack)[..., None]
    lane = np.abs(np.mod(y * 3 + 0.2, 1) - 0.5) * (side / 3)
    dash = np.abs(np.mod(x * 4 + rng.random(), 1) - 0.5) * 4
    paint = smoothstep(6.0, 4.5, lane) * smoothstep(1.2, 1.15, dash) * (0.8 + 0.12 * grain)
    return asphalt + np.clip(paint, 0, 1)[..., None] * (np.float32(0.86) - asphalt)


def snow(rng: np.random.Generator, side: int) -> Field:
    drifts = fractal_noise(rng, side, slope=2.0, stretch=(1, 1.8))
    slope_light = np.roll(drifts, 3, axis=0) - drifts
    slope_light /= slope_light.std()
    sparkle = smoothstep(2.4, 3.2, fractal_noise(rng, side, slope=0.1))
    amount = 0.62 + 0.13 * slope_light + 0.06 * drifts
    return (
        _ramp(amount, (176, 196, 220), (224, 234, 244), (254, 254, 255)) + 0.1 * sparkle[..., None]
    )


def wood(rng: np.random.Generator, side: int) -> Field:
    y, _ = _axes(side)
    planks = 8
    index = np.floor(y * planks).astype(int)
    tone = rng.random(planks, dtype=np.float32)[index]
    bend = fractal_noise(rng, side, slope=2.0, stretch=(1, 3.5))
    bend = np.take_along_axis(
        bend, (index * 7) % side + np.zeros_like(bend, dtype=int), 0
    ) * 0.4 + (bend * 0.6)
    rings = np.sin(2 * math.pi * (26 * y + 1.1 * bend + 3 * tone))
    fibre = fractal_noise(rng, side, slope=0.8, stretch=(1, 14), low_cut=30)
    amount = 0.28 + 0.36 * tone + 0.13 * rings + 0.10 * fibre
    board = _ramp(amount, (86, 58, 36), (158, 114, 72), (206, 166, 116), (226, 194, 148))
    gap = np.abs(y * planks - np.round(y * planks)) * (side / planks)
    return board * (0.35 + 0.65 * smoothstep(0.8, 2.6, gap))[..., None]


def stone(rng: np.random.Generator, side: int) -> Field:
    nearest, second, cell_ids = voronoi(rng, side, 11, squash=1.25)
    tone = rng.random(121, dtype=np.float32)[cell_ids]
    grain = fractal_noise(rng, side, slope=0.8)
    gap = second - nearest
    dome = smoothstep(0.02, 0.42, gap)
    amount = 0.16 + 0.34 * tone + 0.34 * dome + 0.06 * grain
    cobble = _ramp(amount, (52, 52, 56), (112, 112, 116), (162, 160, 158), (204, 202, 196))
    return cobble * (0.3 + 0.7 * smoothstep(0.03, 0.14, gap))[..., None]


def soil(rng: np.random.Generator, side: int) -> Field:
    clods = fractal_noise(rng, side, slope=1.0)
    grain = fractal_noise(rng, side, slope=0.3)
    nearest, _, cell_ids = voronoi(rng, side, 26)
    size = rng.uniform(-0.25, 0.26, 676).astype(np.float32)[cell_ids]
    pebble = smoothstep(0.0, 0.06, size - nearest)
    earth = _ramp(0.42 + 0.13 * clods + 0.09 * grain, (38, 26, 20), (82, 60, 46), (132, 104, 82))
    rock = _ramp(0.9 - 2.4 * nearest + 0.05 * grain, (70, 64, 58), (158, 148, 136))
    return earth + pebble[..., None] * (rock - earth)


def leaves(rng: np.random.Generator, side: int) -> Field:
    y, x = _axes(side)
    canopy = _ramp(0.5 + 0.2 * fractal_noise(rng, side, slope=1.4), (8, 18, 14), (22, 46, 30))
    for layer, cells in enumerate((15, 14, 12)):
        points = rng.random((cells, cells, 2), dtype=np.float32)
        turns = rng.uniform(0, math.pi, (cells, cells)).astype(np.float32)
        tones = rng.random((cells, cells), dtype=np.float32)
        cell_y, cell_x = np.floor(y * cells).astype(int), np.floor(x * cells).astype(int)
        for step_y, step_x in np.ndindex(3, 3):
            row, column = cell_y + step_y - 1, cell_x + step_x - 1
            cell = (row % cells, column % cells)
            down, right = (
                row + points[cell][..., 1] - y * cells,
                column + points[cell][..., 0] - (x * cells),
            )
            cos, sin = np.cos(turns[cell]), np.sin(turns[cell])
            along, across = right * cos + down * sin, down * cos - right * sin
            inside = 0.36 * (1 - (along / 0.78) ** 2) - np.abs(across)
            cover = smoothstep(0.0, 0.05, inside) * (np.abs(along) < 0.78)
            rib = 1 - 0.8 * smoothstep(0.05, 0.0, np.abs(across))
            amount = 0.10 + 0.16 * layer + 0.32 * tones[cell] + 0.22 * across + 0.16 * rib
            green = _ramp(amount, (14, 40, 26), (36, 82, 46), (82, 128, 62), (146, 172, 92))
            canopy += cover[..., None] * (green - canopy)
    return canopy * (1 + 0.08 * fractal_noise(rng, side, slope=1.2))[..., None]


def tiles(rng: np.random.Generator, side: int) -> Field:
    y, x = _axes(side)
    count = 10
    row, column = np.floor(y * count), np.floor(x * count)
    tone = rng.random((count, count), dtype=np.float32)[row.astype(int), column.astype(int)]
    checker = np.mod(row + column, 2)
    gloss = fractal_noise(rng, side, slope=1.6)
    amount = 0.18 + 0.5 * checker + 0.16 * tone + 0.05 * gloss
    glaze = _ramp(amount, (112, 126, 128), (168, 178, 176), (222, 226, 220), (244, 244, 238))
    edge = 0.5 - np.maximum(np.abs(y * count - row - 0.5), np.abs(x * count - column - 0.5))
    edge = edge * (side / count)
    bevel = 1 - 0.10 * smoothstep(5.0, 2.0, edge)
    grout = smoothstep(1.2, 2.2, edge)
    return glaze * (bevel * (0.45 + 0.55 * grout))[..., None]


SURFACES: dict[str, Surface] = {
    "grass": grass,
    "water": water,
    "sand": sand,
    "brick": brick,
    "sky": sky,
    "road": road,
    "snow": snow,
    "wood": wood,
    "stone": stone,
    "soil": soil,
    "leaves": leaves,
    "tiles": tiles,
}


class TilePool:
    """Rendered tiles and one noise field, made on first use and always the same for a seed.

    Pass one pool to everything that draws. Pickling keeps only the settings, so that a worker
    process renders its own tiles again and gets identical ones.

    Args:
        seed: decides every tile.
        variants: tiles per stuff.
        side: side of a tile in pixels; a 192-px image takes a cut of about 0.6 of it.
    """

    def __init__(self, seed: int = 0, *, variants: int = 3, side: int = 512) -> None:
        self.seed, self.variants, self.side = seed, variants, side
        self._tiles: dict[tuple[str, int], Image.Image] = {}
        self._noise: Field | None = None

    def __getstate__(self) -> dict[str, int]:
        return {"seed": self.seed, "variants": self.variants, "side": self.side}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["seed"], variants=state["variants"], side=state["side"])  # type: ignore[misc]

    def tile(self, stuff: str, variant: int) -> Image.Image:
        """The RGB tile number `variant` of a stuff."""
        key = (stuff, variant)
        if key not in self._tiles:
            names = list(SURFACES)
            rng = np.random.default_rng([self.seed, names.index(stuff), variant])
            rgb = SURFACES[stuff](rng, self.side)
            self._tiles[key] = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
        return self._tiles[key]

    @property
    def noise(self) -> Field:
        """(side, side) float32 smooth fractal noise, mean 0, standard deviation 1, periodic."""
        if self._noise is None:
            rng = np.random.default_rng([self.seed, 999])
            self._noise = fractal_noise(rng, self.side, slope=1.8)
        return self._noise

    def cut_surface(
        self, stuff: str, rng: np.random.Generator, size: tuple[int, int], *, scale: float
    ) -> Field:
        """A randomly placed cut of a stuff.

        Args:
            stuff: name of the stuff.
            rng: chooses variant, place, zoom, flip and tint.
            size: (height, width) of the result in pixels.
            scale: tile pixels per result pixel before the random zoom.

        Returns:
            (height, width, 3) float32, about 0..1.
        """
        variant, flip = int(rng.integers(self.variants)), rng.random() < 0.5
        zoom = scale * rng.uniform(0.8, 1.3)
        zoom = min(zoom, self.side / size[0], self.side / size[1])
        cut_height, cut_width = size[0] * zoom, size[1] * zoom
        top = rng.uniform(0, self.side - cut_height)
        left = rng.uniform(0, self.side - cut_width)
        box = (left, top, left + cut_width, top + cut_height)
        image = self.tile(stuff, variant).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR, box=box
        )
        tint = rng.normal(1.0, 0.02, 3).astype(np.float32) * np.float32(rng.uniform(0.88, 1.1))
        rgb = np.asarray(image, dtype=np.float32) * (tint / np.float32(255))
        return rgb[:, ::-1] if flip else rgb
