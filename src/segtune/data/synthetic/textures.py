"""Patterns painted on things: how much of the second colour shows at each point.

Each pattern takes object coordinates `u`, `v` (float32, about -1..1 inside the thing), the size of
one pixel in those coordinates (for anti-aliasing) and a random generator that jitters frequency,
phase and duty. It returns values 0..1: 0 is the named colour and covers at least half of the
thing, 1 is the second colour.
"""

import math
from collections.abc import Callable

import numpy as np

from segtune.data.synthetic.noise import Field

Pattern = Callable[[Field, Field, float, np.random.Generator], Field]
TAU = 2 * math.pi


def _edge(distance: Field, pixel: float) -> Field:
    """Anti-aliased step: 1 where `distance` is positive, ramping over one pixel."""
    return np.clip(distance * np.float32(1 / pixel) + np.float32(0.5), 0, 1)


def _triangle_wave(phase: Field) -> Field:
    """Wave of period 1 between -1 and 1."""
    return 4 * np.abs(phase - np.floor(phase + np.float32(0.5))) - 1


def plain(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    return np.zeros_like(u)


def striped(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    period, phase, duty = rng.uniform(0.38, 0.56), rng.random(), rng.uniform(0.05, 0.25)
    wave = _triangle_wave(u * np.float32(1 / period) + np.float32(phase))
    return _edge((wave - np.float32(duty)) * np.float32(period / 4), pixel)


def zigzag(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    period, phase, duty = rng.uniform(0.46, 0.6), rng.random(), rng.uniform(0.05, 0.2)
    length, height = rng.uniform(0.5, 0.66), rng.uniform(0.13, 0.17)
    bent = u + _triangle_wave(v * np.float32(1 / length)) * np.float32(height)
    wave = _triangle_wave(bent * np.float32(1 / period) + np.float32(phase))
    return _edge((wave - np.float32(duty)) * np.float32(period / 5.5), pixel)


def dotted(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    pitch, radius = rng.uniform(0.42, 0.54), rng.uniform(0.29, 0.34)
    x = u * np.float32(1 / pitch) + np.float32(rng.random())
    y = v * np.float32(1 / (0.87 * pitch)) + np.float32(rng.random())
    row = np.floor(y)
    x = x + np.float32(0.5) * np.mod(row, 2)
    distance = np.hypot(x - np.floor(x) - np.float32(0.5), (y - row - np.float32(0.5)) * 0.87)
    return _edge((np.float32(radius) - distance) * np.float32(pitch), pixel)


def checkered(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    cell = rng.uniform(0.34, 0.44)
    x = _triangle_wave(u * np.float32(0.5 / cell) + np.float32(rng.random()))
    y = _triangle_wave(v * np.float32(0.5 / cell) + np.float32(rng.random()))
    distance = np.minimum(np.abs(x), np.abs(y)) * np.float32(cell / 2)
    return _edge(np.sign(x * y) * distance, pixel)


def marbled(u: Field, v: Field, pixel: float, rng: np.random.Generator) -> Field:
    a, b, c, d = (np.float32(value) for value in rng.uniform(0, TAU, 4))
    warped_u = u + np.float32(0.28) * np.sin(3.1 * v + a) + np.float32(0.12) * np.sin(7.3 * v + b)
    warped_v = v + np.float32(0.28) * np.sin(2.7 * u + c)
    wave = np.sin(6.0 * warped_u + 1.9 * np.sin(2.9 * warped_v + d) + b)
    vein = 1 - np.abs(wave)
    width = np.float32(rng.uniform(0.34, 0.50))
    return np.clip((vein - (1 - width)) * np.float32(5.0), 0, 1)


PATTERNS: dict[str, Pattern] = {
    "plain": plain,
    "striped": striped,
    "dotted": dotted,
    "checkered": checkered,
    "zigzag": zigzag,
    "marbled": marbled,
}
