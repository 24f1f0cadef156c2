"""Mask-category pairs: a region of an image and the words that name it, one row each.

    {"image": "photos/a.jpg", "id": "a", "size": [480, 640], "rle": "...", "box": [10, 20, 90, 200],
     "text": "traffic light", "noun": "traffic light", "caption": 0, "score": 0.2931,
     "source": "ground-truth"}

Masks are compressed COCO RLE over the original image, so that crops are cut where they are needed
and not stored. JSON lines, or Parquet with the columns of the same names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import numpy as np
from msgspec import Meta

from segtune.data.masks.shapes import ShapeError, decode_counts, run_lengths
from segtune.errors import DataError, SegtuneError
from segtune.storage.files import atomic_write
from segtune.storage.json_files import convert, plain_json

PairFormat = Literal["jsonl", "parquet"]
ROWS_AT_ONCE = 10_000
"""Rows of a Parquet row group."""


LARGEST_IMAGE_PX = 2**31
"""Pixels of an image, beyond which a row is damaged."""

Natural = Annotated[int, Meta(ge=0, le=2**31)]


class Row(msgspec.Struct, gc=False):
    """A pair as files have it."""

    image: str
    id: str
    size: tuple[Annotated[int, Meta(ge=1, le=2**31)], Annotated[int, Meta(ge=1, le=2**31)]]
    rle: str
    box: tuple[Natural, Natural, Natural, Natural]
    text: str
    noun: str
    caption: Annotated[int, Meta(ge=-1, le=2**31)]
    score: Annotated[float, Meta(ge=-1.001, le=1.001)]
    source: str


@dataclass(frozen=True)
class Pair:
    """One region and its words.

    Attributes:
        image: path of the image, or the id of its sample where it has no file.
        id: of the sample in its dataset.
        size: (height, width) of the original image.
        rle: the mask on that image, COCO's compressed run lengths.
        box_px: xyxy in pixels of the original image, right and bottom exclusive.
        text: what the region is called, as it is given to a text encoder.
        noun: dictionary form of the noun in the caption.
        caption: which caption of the image the noun is from, counted from 0; -1 where it is the
            name of a label.
        score: cosine similarity of region and text, -1..1.
        source: where the mask is from: "ground-truth", or the name of a model.
    """

    image: str
    id: str
    size: tuple[int, int]
    rle: str
    box_px: tuple[int, int, int, int]
    text: str
    noun: str
    caption: int
    score: float
    source: str

    def mask(self) -> np.ndarray:
        """Returns the (H, W) bool mask on the original image.

        Raises:
            DataError: its run lengths do not stand for one.
        """
        try:
            return decode_rle(self.rle, self.size)
        except ShapeError as error:
            raise DataError(f"the mask of pair {self.id} {error}; mine the pairs again") from None

    def row(self) -> dict[str, Any]:
        """Returns the pair as plain values."""
        return {
            "image": self.image,
            "id": self.id,
            "size": list(self.size),
            "rle": self.rle,
            "box": list(self.box_px),
            "text": self.text,
            "noun": self.noun,
            "caption": self.caption,
            "score": self.score,
            "source": self.source,
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Pair:
        """Returns the pair of plain values.

        Raises:
            DataError: a value is missing, of another type, or out of range.
        """
        entry = convert(row, Row, where="the pair")
        (height, width), (x1, y1, x2, y2) = entry.size, entry.box
        if not (x1 <= x2 <= width and y1 <= y2 <= height):
            raise DataError(f"the pair: box is {[*entry.box]} on an image of {width}x{height}")
        if height * width > LARGEST_IMAGE_PX:
            raise DataError(f"the pair: size is {height}x{width}; no image is so large")
        return cls(
            image=entry.image,
            id=entry.id,
            size=entry.size,
            rle=entry.rle,
            box_px=entry.box,
            text=entry.text,
            noun=entry.noun,
            caption=entry.caption,
            score=entry.score,
            source=entry.source,
        )


def encode_rle(mask: np.ndarray) -> str:
    """Returns COCO's compressed run lengths of a (H, W) bool mask.

    Example:
        >>> mask = np.eye(3, dtype=bool)
        >>> bool((decode_rle(encode_rle(mask), (3, 3)) == mask).all())
        True
    """
    from pycocotools import mask as coco_mask

    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")


def decode_rle(rle: str, size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool mask of compressed run lengths on an image of `size`.

    Raises:
        ShapeError: they are damaged, or do not fill the image.
    """
    return decode_counts(run_lengths(rle), size)


def write_pairs(path: Path, pairs: Iterable[Pair], *, format: PairFormat = "jsonl") -> int:
    """Writes pairs as they come, under the final name only when all are written; returns how many.

    Raises:
        SegtuneError: Parquet is asked for and pyarrow is not installed.
    """
    number = 0
    if format == "parquet":
        schema, parquet, arrow = _parquet_schema()
        with atomic_write(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            rest = iter(pairs)
            while rows := [pair.row() for pair in islice(rest, ROWS_AT_ONCE)]:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                number += len(rows)
        return number
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for pair in pairs:
            stream.write(json.dumps(pair.row(), ensure_ascii=False) + "\n")
            number += 1
    return number


def read_pairs(path: Path | str) -> Iterator[Pair]:
    """Yields the pairs of a JSON lines or Parquet file.

    Raises:
        FileNotFoundError, DataError: missing, or a row is not of the form above.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"pairs {path} do not exist; `segtune mine` writes such a file")
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    for number, row in enumerate(rows, start=1):
        try:
            yield Pair.from_row(row)
        except DataError as error:
            reason = str(error).removeprefix("the pair").removeprefix(":").strip()
            raise DataError(
                f"{path} row {number} is no mask-category pair: {reason}; `segtune mine` writes "
                "such a file"
            ) from None


def format_of(path: Path) -> PairFormat:
    """Returns the format that the ending of a file asks for; JSON lines for any other."""
    return "parquet" if path.suffix == ".parquet" else "jsonl"


def check_format(format: PairFormat) -> None:
    """Raises where a format cannot be written here, so that nobody waits for it in vain."""
    if format not in get_args(PairFormat):
        raise SegtuneError(f"there is no format {format!r} of pairs; use jsonl or parquet")
    if format == "parquet":
        _parquet_schema()


def _json_rows(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            yield plain_json(line, where=f"{path} line {number}")


def _parquet_rows(path: Path) -> Iterator[Any]:
    _, parquet, _ = _parquet_schema()
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _parquet_schema() -> tuple[Any, Any, Any]:
    """Returns the schema and the two modules of pyarrow."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise SegtuneError(
            "Parquet needs pyarrow; type pip install 'segtune[parquet]', or use --format jsonl"
        ) from None
    whole, text = arrow.int32(), arrow.string()
    fields = {
        "image": text,
        "id": text,
        "size": arrow.list_(whole, 2),
        "rle": text,
        "box": arrow.list_(whole, 4),
        "text": text,
        "noun": text,
        "caption": whole,
        "score": arrow.float64(),
        "source": text,
    }
    return arrow.schema(list(fields.items())), parquet, arrow
