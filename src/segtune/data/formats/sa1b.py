"""SA-1B and what SAM's own script writes: a JSON of masks without names beside each photograph.

    sa_1.jpg   sa_1.json       {"image": {...}, "annotations": [{"segmentation": RLE, ...}]}

Masks have no class: they are objects of the class `IGNORE`, for tasks that find objects whatever
they are called.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from segtune.data.captioned import NO_CLASSES
from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import Drawn, DrawnRecord, drawn_sample
from segtune.data.folders import UNSPLIT, choose_split, find_files
from segtune.data.formats.coco.files import save_json
from segtune.data.masks.shapes import Rle
from segtune.data.samples import IndexedDataset
from segtune.storage.json_files import read_json
from segtune.types import IGNORE, Instance, Sample, Segmentation, Vocabulary

PEEKED_BYTES = 4096


class Mask(msgspec.Struct, gc=False):
    """One mask."""

    segmentation: list[list[float]] | Rle
    id: int | str | None = None


class ImageEntry(msgspec.Struct, gc=False):
    """The photograph of a file."""

    file_name: str
    width: float | None = None
    height: float | None = None


class Sa1bFile(msgspec.Struct):
    """One JSON."""

    image: ImageEntry
    annotations: list[Mask]


def detect(path: Path) -> float:
    """Returns 0.9 where JSON files beside photographs are of SA-1B, else 0."""
    return 0.9 * bool(splits(path))


def splits(path: Path) -> tuple[str, ...]:
    """Returns ("all",): the data is not divided."""
    if not path.is_dir():
        return ()
    file = next(iter(sorted(path.glob("*.json"))), None)
    return (UNSPLIT,) if file is not None and _is_sa1b(file) else ()


def _is_sa1b(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(PEEKED_BYTES)
    return all(sign in start for sign in (b'"image"', b'"annotations"', b'"segmentation"'))


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[DrawnRecord]:
    """Returns photographs with masks that have no names.

    Args:
        path: the folder.
        split: None.
        vocabulary: words for what looks at the masks; they label nothing.
    """
    split = choose_split(splits(path), split, path=path)
    images = {image.stem: image for image in find_files(path)}
    files = {file.stem: file for file in sorted(path.glob("*.json"))}
    records = [DrawnRecord(s, images[s], file) for s, file in files.items() if s in images]
    lost = [LeftOut(f.name, "masks without an image") for s, f in files.items() if s not in images]
    lost += [LeftOut(i.name, "an image without masks") for s, i in images.items() if s not in files]
    return IndexedDataset(
        path.resolve().name, split, vocabulary or NO_CLASSES, Found.of(records, lost), load
    )


def load(record: DrawnRecord) -> Sample:
    """Returns the photograph of a record with the masks of its JSON."""
    file = record.label
    assert file is not None  # read gives every record its JSON
    content = read_json(file, Sa1bFile)
    things = [
        Drawn(0, mask.segmentation, f"annotation {mask.id if mask.id is not None else number}")
        for number, mask in enumerate(content.annotations)
    ]
    stated = (content.image.height, content.image.width)
    sample = drawn_sample(
        DrawnRecord(record.id, record.image, file, None, stated), things, file=file
    )
    unnamed = tuple(Instance(IGNORE, item.mask) for item in sample.instances)
    return Sample(record.id, record.image, instances=unnamed)


def write_masks(path: Path, result: Segmentation, *, image_id: int | str, image_name: str) -> None:
    """Writes the JSON of an image: the segments of a result, without what they are called.

    What SA-1B says of the model that found them (stability, the point that was asked for) is left
    out; `predicted_iou` is the score.
    """
    from pycocotools import mask as coco_mask

    height, width = result.size
    annotations = []
    for number, segment in enumerate(result.segments, start=1):
        rle = coco_mask.encode(np.asfortranarray(segment.full_mask(result.size), np.uint8))
        x1, y1, x2, y2 = segment.box_px
        annotations.append(
            {
                "id": number,
                "segmentation": {"size": [height, width], "counts": rle["counts"].decode("ascii")},
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(segment.mask.sum()),
                "predicted_iou": float(segment.score),
                "crop_box": [0, 0, width, height],
            }
        )
    image = {"image_id": image_id, "width": width, "height": height, "file_name": image_name}
    save_json(path, {"image": image, "annotations": annotations})
