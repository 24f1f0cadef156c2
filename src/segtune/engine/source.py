"""The rows of a dataset, divided into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from segtune.data.readable import is_bad_image
from segtune.engine.graph import Kind, Row
from segtune.types import Dataset

SOURCE_COLUMNS: Mapping[str, Kind] = {
    "index": "int",
    "id": "text",
    "captions": "json",
    "stamp": "text",
}
"""Place and id of a sample, what is said of it, and what changes when its image does."""
ROWS_PER_SHARD = 64


def dataset_rows(dataset: Dataset, *, progress: bool = True) -> list[Row]:
    """Returns a row per sample; an image that cannot be read has no captions and an empty stamp."""
    rows: list[Row] = []
    for index in tqdm(
        range(len(dataset)), "captions", unit="image", disable=None if progress else True
    ):
        name = dataset.sample_id(index)
        try:
            sample = dataset[index]
        except Exception as error:
            if not is_bad_image(error):
                raise
            rows.append({"index": index, "id": name, "captions": [], "stamp": ""})
            continue
        captions = list(sample.captions)
        rows.append(
            {"index": index, "id": name, "captions": captions, "stamp": stamp(sample.image)}
        )
    return rows


def stamp(image: object) -> str:
    """Returns a text that changes when an image file does; pixels in memory have none."""
    if not isinstance(image, Path):
        return ""
    try:
        found = image.stat()
    except OSError:
        return f"{image.resolve()} is missing"
    return f"{image.resolve()} {found.st_size} {found.st_mtime_ns}"


def divided(rows: Sequence[Row], size: int = ROWS_PER_SHARD) -> list[list[Row]]:
    """Returns the rows in shards.

    Example:
        >>> [len(shard) for shard in divided([{}] * 5, 2)]
        [2, 2, 1]
    """
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]
