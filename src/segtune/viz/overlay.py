"""A segmentation drawn over its image: colour fill, boundary lines, names and a legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from segtune.errors import SegtuneError
from segtune.types import IGNORE, Segmentation
from segtune.viz.palette import class_colors
from segtune.viz.text import PAPER, Chip, draw_chips, draw_text, font_size_for, text_width

LEGEND_ENTRIES = 40
"""Classes named in a legend; the rest is counted."""
BAND_PX = 1 << 20
"""Pixels that are coloured at once."""


def draw_overlay(
    image: np.ndarray,
    segmentation: Segmentation,
    *,
    alpha: float = 0.55,
    legend: bool = True,
    names: bool = False,
) -> np.ndarray:
    """Returns the image with its segmentation drawn over it.

    Args:
        image: (H, W, 3) uint8 RGB of the size of the segmentation.
        alpha: opacity of the colour fill, 0..1; pixels without a class keep the photograph.
        legend: add a panel below with the classes found and their share of the image.
        names: write class names inside large regions, and scores where there are segments.

    Returns:
        (H', W', 3) uint8 RGB. Without legend H' x W' is H x W; with it, narrow images are centred
        on a wider sheet.
    """
    if image.shape[:2] != segmentation.size or image.shape[2:] != (3,):
        raise SegtuneError(
            f"the image is {image.shape} but the segmentation is for {segmentation.size}; "
            "give the (height, width, 3) image that was segmented"
        )
    if not 0 <= alpha <= 1:
        raise SegtuneError(f"alpha is {alpha}; expected 0 (photograph only) to 1 (colours only)")
    colors = class_colors(segmentation.vocabulary)
    class_map, region_map = region_maps(segmentation)
    picture = _fill(image, class_map, region_map, colors, alpha)
    _draw_boundaries(picture, region_map, class_map, colors)
    if names:
        picture = _draw_names(picture, class_map, region_map, segmentation)
    if not legend:
        return picture
    width = max(picture.shape[1], 240)
    panel = draw_chips(legend_chips(segmentation), width)
    margin = width - picture.shape[1]
    sides = ((0, 0), (margin // 2, margin - margin // 2))
    sheet = np.stack(
        [np.pad(picture[..., c], sides, constant_values=PAPER[c]) for c in range(3)], axis=-1
    )
    return np.concatenate([sheet, panel])


def legend_chips(*segmentations: Segmentation, shares: bool = True) -> list[Chip]:
    """Returns a legend of the classes found in any of the segmentations, largest first.

    Args:
        segmentations: over one vocabulary.
        shares: note the share of pixels; of the first segmentation with the class.
    """
    found: dict[str, float] = {}
    for segmentation in segmentations:
        found = segmentation.classes_found() | found
    ranked = sorted(found.items(), key=lambda item: -item[1])
    vocabulary = segmentations[0].vocabulary
    colors = class_colors(vocabulary)
    chips = []
    for name, share in ranked[:LEGEND_ENTRIES]:
        r, g, b = (int(value) for value in colors[vocabulary.index(name)])
        chips.append(Chip((r, g, b), name, _percent(share) if shares else ""))
    if len(ranked) > LEGEND_ENTRIES:
        chips.append(Chip(PAPER, f"and {len(ranked) - LEGEND_ENTRIES} more"))
    return chips


def region_maps(segmentation: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """Returns the class and the region of every pixel, (H, W) int32 each, `IGNORE` where none.

    A region is a segment where there are segments (better scores on top), else a whole class.
    """
    size = segmentation.size
    if segmentation.semantic is not None and not segmentation.segments:
        return segmentation.semantic, segmentation.semantic
    regions = np.full(size, IGNORE, dtype=np.int32)
    classes = regions.copy() if segmentation.semantic is None else segmentation.semantic
    ranked = sorted(enumerate(segmentation.segments), key=lambda item: item[1].score)
    for i, segment in ranked:
        x1, y1, x2, y2 = segment.box_px
        regions[y1:y2, x1:x2][segment.mask] = i
        if segmentation.semantic is None:
            classes[y1:y2, x1:x2][segment.mask] = segment.class_id
    return classes, regions


def _fill(
    image: np.ndarray,
    class_map: np.ndarray,
    region_map: np.ndarray,
    colors: np.ndarray,
    alpha: float,
) -> np.ndarray:
    """Returns the image blended with the class colours; neighbours of one class differ a little.

    By bands of rows, so that memory does not grow with the image.
    """
    result, rows = np.empty_like(image), max(1, BAND_PX // image.shape[1])
    for top in range(0, len(image), rows):
        band = slice(top, top + rows)
        classes = class_map[band]
        regions = classes if region_map is class_map else region_map[band]
        result[band] = _filled(image[band], classes, regions, colors, alpha)
    return result


def _filled(
    image: np.ndarray,
    class_map: np.ndarray,
    region_map: np.ndarray,
    colors: np.ndarray,
    alpha: float,
) -> np.ndarray:
    """Returns a band of the blended image.

    What a pixel becomes depends on its class, its region modulo 3 and its 8 bits, so it is worked
    out once for each of those that occur and then looked up.
    """
    keys = class_map.astype(np.intp) * 3 + 3  # `IGNORE` has the first three
    if region_map is not class_map:
        keys += region_map % 3
    counts = np.bincount(keys.ravel(), minlength=3)
    present = np.flatnonzero(counts)
    classes, thirds = present // 3 - 1, present % 3
    shade = 1 + 0.14 * (thirds - 1) if region_map is not class_map else np.ones(len(present))
    fill = np.minimum(colors[classes] * shade.astype(np.float32)[:, None], 255)
    weight = np.where(classes == IGNORE, 0, alpha).astype(np.float32)[:, None]
    places = np.zeros(len(counts), dtype=np.intp)
    places[present] = 256 * np.arange(len(present))
    starts, values = places[keys], np.arange(256, dtype=np.uint8)
    result = np.empty_like(image)
    for channel in range(3):
        mixed = values * (1 - weight) + fill[:, channel, None] * weight
        table = np.rint(mixed).astype(np.uint8).ravel()
        result[..., channel] = table[starts + image[..., channel]]
    return result


def _draw_boundaries(
    picture: np.ndarray, region_map: np.ndarray, class_map: np.ndarray, colors: np.ndarray
) -> None:
    """Draws a line in the class colour, lightened, on both sides of every boundary, in place."""
    width = max(1, round(max(picture.shape[:2]) / 640))
    edge = np.zeros(region_map.shape, dtype=bool)
    for step in range(1, width + 1):
        down = region_map[step:] != region_map[:-step]
        right = region_map[:, step:] != region_map[:, :-step]
        edge[step:] |= down
        edge[:-step] |= down
        edge[:, step:] |= right
        edge[:, :-step] |= right
    edge &= class_map != IGNORE
    line = colors[class_map[edge]].astype(np.float32)
    picture[edge] = np.rint(0.75 * line + 0.25 * 255).astype(np.uint8)


def _draw_names(
    picture: np.ndarray,
    class_map: np.ndarray,
    region_map: np.ndarray,
    segmentation: Segmentation,
) -> np.ndarray:
    """Returns the picture with names at the roomiest place of each region that can hold one."""
    size = font_size_for(picture.shape[1])
    sheet = Image.fromarray(picture)
    draw = ImageDraw.Draw(sheet)
    # Places are searched on a reduced map: a name does not need pixel accuracy.
    step = max(1, max(region_map.shape) // 400)
    reduced, reduced_classes = region_map[::step, ::step], class_map[::step, ::step]
    for region, (rows, columns) in _boxes(reduced):
        inside, classes = reduced[rows, columns] == region, reduced_classes[rows, columns]
        found = classes[inside]
        if found.min() == found.max():
            half = text_width(_label(segmentation, found[0], region), size) / 2 + size / 4
            if 2 * half > sheet.width or 1.5 * _most_room(inside) * step < half:
                continue
        room, (y, x) = _roomiest(inside)
        text = _label(segmentation, classes[y, x], region)
        half = text_width(text, size) / 2 + size / 4
        if 1.5 * room * step < half or 2 * half > sheet.width:
            continue
        y, x = y + rows.start, x + columns.start
        x_px = float(np.clip(x * step, half, sheet.width - half))
        y_px = float(np.clip(y * step, size, max(size, sheet.height - size)))
        draw_text(draw, (x_px, y_px), text, size=size, color=PAPER, anchor="mm", outlined=True)
    return np.asarray(sheet)


def _label(segmentation: Segmentation, class_id: int, region: int) -> str:
    """Returns what is written into a region: its class, and its score where it is a segment."""
    name = segmentation.vocabulary.names[int(class_id)]
    return f"{name} {segmentation.segments[region].score:.0%}" if segmentation.segments else name


def _boxes(region_map: np.ndarray) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yields every region with the rows and columns that hold all of it."""
    from scipy import ndimage

    for region, box in enumerate(ndimage.find_objects(region_map - IGNORE)):
        if box is not None:
            yield region, box


def _most_room(inside: np.ndarray) -> float:
    """Returns more than `_roomiest` can find: the region holds a disc of that radius."""
    of_box = (min(inside.shape) + 1) / 2
    of_pixels = (np.count_nonzero(inside) ** 0.5 + 1) / 2**0.5  # it holds the square in the disc
    return 1.000001 * min(of_box, of_pixels)


def _roomiest(inside: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Returns the largest distance from a place of a region to what is outside, and the place.

    Args:
        inside: (h, w) bool; all around is outside.
    """
    from scipy import ndimage

    room = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(room.argmax(), room.shape)
    return float(room[y, x]), (int(y), int(x))


def _percent(share: float) -> str:
    """Returns a short percentage such as "12 %", "0.4 %" or "<0.1 %"."""
    percent = 100 * share
    if percent < 0.1:
        return "<0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"
