"""UVO, Unidentified Video Objects v1.0: frames of videos, with all objects, whatever they are.

    FrameSet/UVO_frame_{train,val}.json                COCO's form, three frames per video
    VideoSparseSet/UVO_sparse_{train,val}_video.json   the same frames as videos
    VideoDenseSet/UVO_video_{train,val}_dense.json     every frame of fewer videos
    uvo_videos_{sparse,dense}_frames/VIDEO/FRAME.png   or ?images=FOLDER

The splits are "train" and "val" of the frame set, "train-sparse", ..., "val-dense" of videos. All
objects are of one class, "object"; with ?labels=1 those of COCO keep theirs, where the file has
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from segtune.data.checks.left_out import LeftOut
from segtune.data.folders import choose_split, named_as
from segtune.data.formats.coco.files import CocoRecord, find_id, ids_of
from segtune.data.formats.coco.instances import InstanceLoader, read_document
from segtune.data.formats.coco.schemas import Annotation, Category, CocoImage, Id, Instances
from segtune.data.masks.shapes import Rle
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.json_files import read_json
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.builtin import builtin

FILES = re.compile(
    r"UVO_(?:frame_(?P<frame>train|val|test)|sparse_(?P<sparse>train|val|test)_video"
    r"|video_(?P<dense>train|val|test)_dense)(?:_with_label)?"
)
FOLDERS = ("", "FrameSet", "VideoSparseSet", "VideoDenseSet", "annotations")


class Video(msgspec.Struct, gc=False):
    """An entry of "videos": the files of its frames, below the folder of images."""

    id: Id
    file_names: list[str]
    width: float | None = None
    height: float | None = None


class Track(msgspec.Struct):
    """An object of a video: its mask in every frame, null where it is not seen."""

    video_id: Id
    category_id: Id
    segmentations: list[list[list[float]] | Rle | None]
    id: Id | None = None
    iscrowd: int | bool | None = None


class Videos(msgspec.Struct):
    """A file of videos."""

    videos: list[Video]
    annotations: list[Track]
    categories: list[Category]


@dataclass(frozen=True)
class AsObjects:
    """Reads a record and calls all of its objects one class."""

    load: InstanceLoader

    def __call__(self, record: CocoRecord) -> Sample:
        sample = self.load(record)
        return replace(
            sample, instances=tuple(replace(item, class_id=0) for item in sample.instances)
        )


def detect(path: Path) -> float:
    """Returns 1 for such a file or a folder with one, else 0."""
    return float(bool(_files(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a file."""
    return tuple(_files(path))


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
    labels: str | None = None,
    skip_bad: str | None = None,
) -> IndexedDataset[CocoRecord]:
    """Returns the frames of a file with their objects.

    Args:
        path: the folder of UVO, or one of its files.
        split: see above.
        vocabulary: other names for the classes.
        images: folder of the frames, where it is not found by itself.
        labels: "1" keeps the classes of COCO.
        skip_bad: "1" leaves damaged objects and missing frames out.
    """
    files = _files(path)
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    if labels not in (None, "0", "1"):
        raise DataError(f"labels={labels} is not an option of UVO; give labels=1 or leave it out")
    skips = skip_bad == "1"
    damaged: list[str] | None = [] if skips else None
    is_frames = split in ("train", "val", "test")
    content = (
        read_json(file, Instances, skipped=damaged)
        if is_frames
        else _frame_by_frame(read_json(file, Videos, skipped=damaged), file)
    )
    names, load, records = read_document(
        content,
        file,
        split=split,
        images=_image_folder(file, images, dense=split.endswith("-dense")),
        skips=skips,
        is_named=images is not None,
        left_out=[LeftOut(problem, "damaged") for problem in damaged or ()],
    )
    if labels == "1":
        names = named_as(names, vocabulary, layout="uvo")
        return IndexedDataset(file.stem, split, names, records, load)
    names = named_as(builtin("uvo_1"), vocabulary, layout="uvo")
    return IndexedDataset(file.stem, split, names, records, AsObjects(load))


def _files(path: Path) -> dict[str, Path]:
    """Returns split -> file, "train" and "val" first."""
    if path.is_file():
        found: Iterable[Path] = [path]
    else:
        found = (file for name in FOLDERS for file in sorted((path / name).glob("UVO_*.json")))
    files = {}
    for file in found:
        parts = FILES.fullmatch(file.stem)
        if parts is None or file.suffix != ".json":
            continue
        kind, split = next((kind, name) for kind, name in parts.groupdict().items() if name)
        files[split if kind == "frame" else f"{split}-{kind}"] = file
    return {name: files[name] for name in sorted(files, key=lambda n: ("-" in n, n != "train", n))}


def _image_folder(file: Path, images: str | None, *, dense: bool) -> str | None:
    """Returns the folder as given, else the first of the usual ones that is there."""
    if images is not None:
        return images
    names = [f"uvo_videos_{'dense' if dense else 'sparse'}_frames", "uvo_videos_frames"]
    places = [root / name for root in (file.parent.parent, file.parent) for name in names]
    return next((str(place) for place in places if place.is_dir()), None)


def _frame_by_frame(content: Videos, file: Path) -> Instances:
    """Returns the frames of videos as images, whose ids are their file names."""
    videos = ids_of(content.videos, kind="videos", file=file)
    images = [
        CocoImage(name, file_name=name, width=video.width, height=video.height)
        for video in content.videos
        for name in video.file_names
    ]
    annotations = []
    for position, track in enumerate(content.annotations):
        name = f"entry {position}" if track.id is None else str(track.id)
        number = find_id(track.video_id, videos)
        if number is None:
            raise DataError(
                f"{file}: annotation {name} is of video {track.video_id}, which is not in its list"
            )
        frames = videos[number].file_names
        if len(track.segmentations) != len(frames):
            raise DataError(
                f"{file}: annotation {name} has {len(track.segmentations)} masks for the "
                f"{len(frames)} frames of its video; there must be one, or null, per frame"
            )
        annotations += [
            Annotation(frame, track.category_id, f"{name} in {frame}", shape, track.iscrowd)
            for frame, shape in zip(frames, track.segmentations, strict=True)
            if shape is not None
        ]
    return Instances(images, annotations, content.categories)
