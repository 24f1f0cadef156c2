"""Draws one thing: outline, pattern, colours, light and shadow, on a small patch of the image.

Scenes and crops both go through `draw_object`, so what a model learns from crops is what it meets
in scenes.
"""

import math
from dataclasses import dataclass

import numpy as np

from segtune.data.synthetic.attributes import Composition
from segtune.data.synthetic.noise import Field, make_rgb
from segtune.data.synthetic.shapes import OUTLINES
from segtune.data.synthetic.textures import PATTERNS

# Named colours as (hue in degrees, saturation, value); jitter keeps them apart.
COLOUR_HSV = {
    "red": (357.0, 0.90, 0.88),
    "yellow": (51.0, 0.90, 0.98),
    "green": (128.0, 0.80, 0.66),
    "cyan": (184.0, 0.80, 0.84),
    "blue": (223.0, 0.88, 0.85),
    "purple": (286.0, 0.72, 0.72),
    "brown": (24.0, 0.68, 0.47),
}
CREAM, CHARCOAL = (0.95, 0.94, 0.90), (0.11, 0.11, 0.13)
# Second colours of a pattern: neutral and far from the first in lightness, so that the colour
# word stays true.
SECOND_COLOURS = {
    "red": (CREAM, CREAM, CHARCOAL),
    "yellow": (CHARCOAL,),
    "green": (CREAM, CREAM, CHARCOAL),
    "cyan": (CREAM, CHARCOAL),
    "blue": (CREAM,),
    "purple": (CREAM,),
    "brown": (CREAM,),
}


@dataclass(frozen=True)
class Pose:
    """Where a thing is and how its outline deviates from the ideal one.

    Attributes:
        centre: (x, y) in pixels.
        radius: pixels that one unit of the outline spans; the thing is about 2 radii wide.
        angle: rotation in radians.
        stretch: factors (u, v) of the two axes, close to 1.
        wobble: (amplitude, frequency, phase) pairs, one bends u along v, the other v along u.
    """

    centre: tuple[float, float]
    radius: float
    angle: float
    stretch: tuple[float, float]
    wobble: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Light:
    """One directional light per image.

    Attributes:
        direction: unit vector (x, y) in the image, pointing towards the light.
        strength: contrast of bevels and shadows, about 0.6..1.2.
    """

    direction: tuple[float, float]
    strength: float


@dataclass(frozen=True)
class Patch:
    """A drawn thing on the part of the image that it touches.

    Attributes:
        top: first row of the patch in the image; may be cut at the image border.
        left: first column of the patch.
        alpha: (h, w) float32, coverage 0..1.
        shadow: (h, w) float32, darkness 0..1 thrown on what lies below.
        rgb: (h, w, 3) float32, colour where `alpha` is positive.
    """

    top: int
    left: int
    alpha: Field
    shadow: Field
    rgb: Field

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def sample_light(rng: np.random.Generator) -> Light:
    """A light from above, left or right."""
    angle = rng.uniform(-0.85 * math.pi, -0.15 * math.pi)
    return Light((math.cos(angle), math.sin(angle)), rng.uniform(0.6, 1.2))


def sample_pose(rng: np.random.Generator, centre: tuple[float, float], radius: float) -> Pose:
    """A random rotation, stretch and wobble for a thing of given place and size."""
    stretch = math.exp(rng.uniform(-0.14, 0.14))
    phases, frequencies = rng.uniform(0, 2 * math.pi, 2), rng.uniform(1.6, 3.4, 2)
    amplitudes = rng.uniform(0.0, 0.055, 2)
    wobble = tuple(
        (float(a), float(f), float(p))
        for a, f, p in zip(amplitudes, frequencies, phases, strict=True)
    )
    return Pose(
        centre, radius, rng.uniform(0, 2 * math.pi), (stretch, 1 / stretch), (wobble[0], wobble[1])
    )


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> Field:
    sector = (np.array((5, 3, 1), np.float32) + hue / 60) % 6
    return np.float32(value) * (
        1 - np.float32(saturation) * np.clip(np.minimum(sector, 4 - sector), 0, 1)
    )


def sample_colours(rng: np.random.Generator, colour: str) -> tuple[Field, Field]:
    """Jittered RGB of the named colour and of the second colour beside it, each (3,) in 0..1."""
    hue, saturation, value = COLOUR_HSV[colour]
    first = _hsv_to_rgb(
        (hue + rng.uniform(-6, 6)) % 360,
        min(saturation * rng.uniform(0.88, 1.1), 1.0),
        min(value * rng.uniform(0.88, 1.08), 1.0),
    )
    options = SECOND_COLOURS[colour]
    second = make_rgb(*options[int(rng.integers(len(options)))])
    second = second * np.float32(rng.uniform(0.88, 1.04)) + np.float32(0.10) * first
    return first, np.minimum(second, 1)


def _outline_distance(shape: str, pose: Pose, x: Field, y: Field) -> tuple[Field, Field, Field]:
    """Object coordinates and signed distance in pixels, each (h, w)."""
    cos, sin = math.cos(pose.angle) / pose.radius, math.sin(pose.angle) / pose.radius
    u = x * np.float32(cos) + y * np.float32(sin)
    v = y * np.float32(cos) - x * np.float32(sin)
    (amp_u, freq_u, phase_u), (amp_v, freq_v, phase_v) = pose.wobble
    bent_u = u * np.float32(1 / pose.stretch[0]) + np.float32(amp_u) * np.sin(
        v * np.float32(freq_u) + np.float32(phase_u)
    )
    bent_v = v * np.float32(1 / pose.stretch[1]) + np.float32(amp_v) * np.sin(
        u * np.float32(freq_v) + np.float32(phase_v)
    )
    distance = OUTLINES[shape](bent_u, bent_v)
    return bent_u, bent_v, distance.astype(np.float32, copy=False) * np.float32(pose.radius)


def _shade(distance: Field, x: Field, y: Field, radius: float, light: Light) -> Field:
    """Brightness factor about 0.6..1.4: a gradient across the thing, a bevel and a dark rim."""
    slope_y, slope_x = np.gradient(distance)
    facing = slope_x * np.float32(light.direction[0]) + slope_y * np.float32(light.direction[1])
    inwards = np.minimum(distance, 0)
    bevel = facing * np.exp(inwards * np.float32(1 / (0.10 * radius + 0.6)))
    rim = np.float32(0.22) * np.exp(inwards * np.float32(1 / (0.03 * radius + 0.4)))
    across = (x * np.float32(light.direction[0]) + y * np.float32(light.direction[1])) * np.float32(
        1 / radius
    )
    lit = np.float32(0.34) * bevel + np.float32(0.15) * across
    return 1 + np.float32(light.strength) * lit - rim


def draw_object(
    composition: Composition,
    pose: Pose,
    light: Light,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> Patch | None:
    """Draws a thing on the patch of the image it touches.

    Args:
        composition: what to draw.
        pose: where and how.
        light: the light of the image.
        rng: jitters colours and pattern.
        size: (height, width) of the image in pixels.

    Returns:
        The patch, cut at the image border, or None where the thing lies outside the image.
    """
    reach = pose.radius * 1.28 + 3
    left, right = max(0, math.floor(pose.centre[0] - reach)), math.ceil(pose.centre[0] + reach)
    top, bottom = max(0, math.floor(pose.centre[1] - reach)), math.ceil(pose.centre[1] + reach)
    right, bottom = min(right, size[1]), min(bottom, size[0])
    if right - left < 2 or bottom - top < 2:
        return None
    x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - pose.centre[0]))[None, :]
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - pose.centre[1]))[:, None]
    u, v, distance = _outline_distance(composition.shape, pose, x, y)
    alpha = np.clip(np.float32(0.5) - distance, 0, 1)

    turn = rng.uniform(-0.6, 0.6)
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    pattern = PATTERNS[composition.texture]
    amount = pattern(u * cos + v * sin, v * cos - u * sin, 1 / pose.radius, rng)
    first, second = sample_colours(rng, composition.colour)
    rgb = first + amount[..., None] * (second - first)
    rgb *= _shade(distance, x, y, pose.radius, light)[..., None]

    shift_x = round(-light.direction[0] * pose.radius * 0.14)
    shift_y = round(-light.direction[1] * pose.radius * 0.14)
    softness = 0.10 * pose.radius + 0.8
    shadow = np.clip(
        np.float32(0.5) - _shifted(distance, shift_y, shift_x) * np.float32(0.5 / softness), 0, 1
    )
    shadow *= np.float32(0.55 * min(light.strength, 1.0))
    return Patch(top, left, alpha, shadow, rgb)


def _shifted(field: Field, down: int, right: int) -> Field:
    """The field moved by whole pixels; what enters from outside is far away (large values)."""
    height, width = field.shape
    result = np.full_like(field, 99.0)
    if abs(down) < height and abs(right) < width:
        result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = field[
            max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
        ]
    return result


def paint(image: Field, patch: Patch) -> None:
    """Paints shadow and thing over `image` (H, W, 3) float32 in place."""
    target = image[patch.window]
    target *= (1 - patch.shadow)[..., None]
    target += patch.alpha[..., None] * (patch.rgb - target)
