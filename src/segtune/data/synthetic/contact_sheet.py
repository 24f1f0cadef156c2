"""A picture of all worlds: scenes beside their labels, and close-ups with captions.

python -m segtune.data.synthetic.contact_sheet --out docs/images/synthetic_worlds.jpg
"""

import argparse
import colorsys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from segtune.data.synthetic.attributes import STUFF, compositions
from segtune.data.synthetic.captions import caption_crop
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.data.synthetic.scene import render_crop, render_stuff_crop
from segtune.data.synthetic.worlds import world_names
from segtune.types import IGNORE, Sample, Vocabulary

CELL, GAP, COLUMNS, CROP_COLUMNS, CROP_ROWS = 160, 4, 6, 12, 6
WIDTH = COLUMNS * (CELL + GAP) + GAP
INK, PAPER, NOTE = (32, 33, 36), (252, 252, 250), (110, 112, 118)
NOTES = {
    "base": "texture x colour x shape on stuff; a quarter of the compositions is unseen",
    "base-15-5": "15 seen and 5 unseen classes, the rest is unlabelled (here: grey)",
    "longtail": "Zipf frequencies; known, seen-but-never-annotated and unseen classes",
    "jargon": "new names for things: resistor, diode, relay ...",
    "fog": "the scenes of base in fog",
    "night": "the scenes of base by lamplight",
    "rain": "the scenes of base in rain, through drops on the lens",
    "snow": "the scenes of base in snowfall",
}


def _label_colour(vocabulary: Vocabulary, class_id: int) -> NDArray[np.float64]:
    """(3,) in 0..1: the colour of the concept, or else one far from that of neighbouring ids."""
    if (color := vocabulary.concepts[class_id].color) is not None:
        return np.array(color) / 255
    turn = class_id * 0.61803 % 1
    return np.array(colorsys.hsv_to_rgb(turn, 0.6 + 0.35 * (class_id * 0.37 % 1), 0.95))


def overlay(sample: Sample, vocabulary: Vocabulary) -> NDArray[np.uint8]:
    """The image in grey under its semantic colours, instances outlined; (H, W, 3) uint8."""
    assert sample.semantic is not None
    grey = sample.pixels().mean(-1, keepdims=True).repeat(3, -1) / 255
    colours = np.full_like(grey, 0.55)
    for class_id in np.unique(sample.semantic[sample.semantic != IGNORE]).tolist():
        colours[sample.semantic == class_id] = _label_colour(vocabulary, class_id)
    mixed = 0.35 * grey + 0.65 * colours
    for instance in sample.instances:
        mixed[instance.mask & ~ndimage.binary_erosion(instance.mask)] = 1.0
    return (mixed * 255).astype(np.uint8)


def _world_row(name: str, first: int) -> Image.Image:
    """Heading, three scenes and their labels."""
    row = Image.new("RGB", (WIDTH, CELL + 26), PAPER)
    draw = ImageDraw.Draw(row)
    draw.text((GAP, 3), name, fill=INK, font=ImageFont.load_default(16))
    draw.text((GAP + 96, 6), NOTES[name], fill=NOTE, font=ImageFont.load_default(12))
    dataset = SyntheticDataset(name, "test", size=(CELL, CELL))
    for k in range(COLUMNS // 2):
        sample = dataset[first + k]
        for side, pixels in enumerate((sample.pixels(), overlay(sample, dataset.vocabulary))):
            row.paste(Image.fromarray(pixels), (GAP + (2 * k + side) * (CELL + GAP), 24))
    return row


def _caption_cell(pixels: NDArray[np.uint8], text: str, *, height: int) -> Image.Image:
    """A crop with its caption in small print below."""
    cell = Image.new("RGB", (WIDTH // CROP_COLUMNS, height), PAPER)
    cell.paste(Image.fromarray(pixels), (GAP, 0))
    lines = "\n".join(textwrap.wrap(text, 14)[:4])
    font = ImageFont.load_default(10)
    ImageDraw.Draw(cell).multiline_text((GAP, 66), lines, fill=INK, font=font, spacing=1)
    return cell


def _crop_rows(rng: np.random.Generator) -> list[Image.Image]:
    """A row of stuff, then rows of things with captions."""
    side = WIDTH // CROP_COLUMNS
    stuff_row = Image.new("RGB", (WIDTH, 92), PAPER)
    for k, stuff in enumerate(STUFF):
        stuff_row.paste(
            _caption_cell(render_stuff_crop(stuff, rng), stuff, height=84), (k * side, 4)
        )
    rows = [stuff_row]
    # 37 and 378 share no factor: the stride visits every attribute.
    everything = compositions()
    for first in range(0, CROP_ROWS * CROP_COLUMNS, CROP_COLUMNS):
        row = Image.new("RGB", (WIDTH, 116), PAPER)
        for k in range(CROP_COLUMNS):
            composition = everything[(first + k) * 37 % len(everything)]
            stuff = STUFF[int(rng.integers(len(STUFF)))]
            crop = render_crop(composition, rng, size=64, stuff=stuff)
            text = caption_crop(composition, stuff, rng)
            row.paste(_caption_cell(crop, text, height=116), (k * side, 0))
        rows.append(row)
    return rows


def contact_sheet(*, first: int = 0, seed: int = 0) -> Image.Image:
    """One row per world and a grid of close-ups.

    Args:
        first: index of the first test scene shown.
        seed: decides the close-ups.
    """
    rows = [_world_row(name, first) for name in world_names()]
    rows += _crop_rows(np.random.default_rng(seed))
    sheet = Image.new("RGB", (WIDTH, sum(row.height for row in rows)), PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the contact sheet; the suffix of `--out` chooses PNG or JPEG."""
    parser = argparse.ArgumentParser(description="Draw one picture of all synthetic worlds.")
    parser.add_argument("--out", type=Path, default=Path("synthetic_worlds.jpg"))
    parser.add_argument("--first", type=int, default=0, help="index of the first scene shown")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(first=options.first).save(options.out, quality=84, optimize=True)
    print(f"wrote {options.out} ({options.out.stat().st_size // 1024} kB)")


if __name__ == "__main__":
    main()
