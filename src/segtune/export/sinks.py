"""The formats in which results are written, by name. Listing them imports none of their code.

A sink takes results one at a time and keeps none of them, so that its memory does not grow with
their number. A format of another package is an entry point of the group "segtune.sinks" that names
a `Format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from segtune.storage.registry import Registry, resolve

if TYPE_CHECKING:
    import numpy as np

    from segtune.export.behind import Finish
    from segtune.types import Segmentation, Task, Vocabulary


@dataclass(frozen=True)
class ImageRef:
    """How annotation files refer to an image: by its number, and where it lies."""

    id: int | str
    file_name: str


class Sink(Protocol):
    """Writes results of one vocabulary in one format."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Starts.

        Args:
            place: a folder, for formats of one file per image; else the file.
            vocabulary: of all results.
            images: name -> how to refer to the image; by default by position and `<name>.jpg`.
        """
        ...

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Takes the result of one image.

        Args:
            name: of the image, unique, usable as a file stem.
            image: (H, W, 3) uint8 RGB; None where nobody has it, which pictures refuse.
        """
        ...

    def close(self) -> list[Path]:
        """Finishes, and returns the files and folders that were written."""
        ...

    def abort(self) -> None:
        """Gives up after an error: what is whole stays, nothing half written does."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """What a sink may do besides: most of its work on an image, whatever comes before it."""

    def prepare(self, name: str, image: np.ndarray | None, result: Segmentation) -> Finish:
        """Takes the result of one image as `Sink.add` does, and returns what is left to do.

        Called in any thread; what it returns is called in the order of the images.
        """
        ...


@dataclass(frozen=True)
class Format:
    """One way to write results.

    Attributes:
        writes: what comes out, in a few words.
        tasks: whose answers it can hold.
        files: what it writes below the folder of a command, with {name} where that is one file per
            image.
        sink: where the class of the sink lives, "module:Class".
        default_of: tasks whose answers are written so where no format is named.
        is_for_ending: `Segmentation.save` takes it for paths that end like `files`.
        things_only: lists objects, so stuff that a search found is left out.
    """

    name: str
    writes: str
    tasks: tuple[Task, ...]
    files: str
    sink: str
    default_of: tuple[Task, ...] = ()
    is_for_ending: bool = False
    things_only: bool = False

    @property
    def place(self) -> str:
        """Where its sink is opened, below the folder of a command."""
        return self.files.partition("/{name}")[0]

    @property
    def ending(self) -> str:
        """The ending of its files, such as ".png"."""
        return Path(self.files).suffix

    @property
    def is_per_image(self) -> bool:
        """Whether there is one file per image."""
        return "{name}" in self.files

    def make(self) -> Sink:
        """Returns a sink that is still to be opened."""
        sink: Sink = resolve(self.sink)()
        return sink


SINKS: Registry[Format] = Registry(
    "format",
    (
        Format(
            "overlay",
            "photographs with colours, names and a legend",
            tasks=("semantic", "instance", "panoptic"),
            files="overlays/{name}.png",
            sink="segtune.export.overlay:OverlaySink",
            default_of=("semantic", "instance", "panoptic"),
        ),
        Format(
            "png",
            "index maps, 255 (or 65535) where no class won",
            tasks=("semantic", "panoptic"),
            files="labels/{name}.png",
            sink="segtune.export.png:PngSink",
            default_of=("semantic",),
            is_for_ending=True,
        ),
        Format(
            "coco",
            "COCO annotations",
            tasks=("instance", "panoptic"),
            files="instances.json",
            sink="segtune.export.coco:CocoSink",
            default_of=("instance",),
            is_for_ending=True,
            things_only=True,
        ),
        Format(
            "panoptic",
            "COCO panoptic with id maps",
            tasks=("panoptic",),
            files="panoptic.json",
            sink="segtune.export.panoptic:PanopticSink",
            default_of=("panoptic",),
        ),
        Format(
            "labelme",
            "LabelMe JSON, one beside each image",
            tasks=("instance", "panoptic"),
            files="labelme/{name}.json",
            sink="segtune.export.labelme:LabelmeSink",
            things_only=True,
        ),
        Format(
            "cvat",
            "CVAT for images 1.1, to be uploaded to a task",
            tasks=("instance", "panoptic"),
            files="annotations.xml",
            sink="segtune.export.cvat:CvatSink",
            things_only=True,
        ),
        Format(
            "yolo",
            "YOLO segmentation, labels to be put beside images/",
            tasks=("instance", "panoptic"),
            files="yolo/labels/{name}.txt",
            sink="segtune.export.yolo:YoloSink",
            things_only=True,
        ),
        Format(
            "labelstudio",
            "Label Studio tasks with predictions, to be corrected there",
            tasks=("instance", "panoptic"),
            files="labelstudio.json",
            sink="segtune.export.labelstudio:LabelStudioSink",
            things_only=True,
        ),
        Format(
            "coco-results",
            "COCO's list of scored masks, for pycocotools and evaluation servers",
            tasks=("instance", "panoptic"),
            files="results.json",
            sink="segtune.export.coco_results:CocoResultsSink",
            things_only=True,
        ),
        Format(
            "lvis",
            "LVIS annotations: COCO's, with absent classes per image and frequencies",
            tasks=("instance", "panoptic"),
            files="lvis.json",
            sink="segtune.export.lvis:LvisSink",
            things_only=True,
        ),
        Format(
            "coco-polygons",
            "COCO annotations with polygons along pixels in place of RLE",
            tasks=("instance", "panoptic"),
            files="polygons.json",
            sink="segtune.export.coco:CocoPolygonsSink",
            things_only=True,
        ),
        Format(
            "voc",
            "maps of classes and objects as labelme2voc has them",
            tasks=("semantic", "instance", "panoptic"),
            files="voc/ImageSets/Segmentation/all.txt",
            sink="segtune.export.trees.voc:VocSink",
        ),
        Format(
            "cvat-masks",
            "the same in colours, as CVAT's segmentation mask 1.1",
            tasks=("semantic", "instance", "panoptic"),
            files="cvat-masks/ImageSets/Segmentation/default.txt",
            sink="segtune.export.trees.voc:CvatMasksSink",
        ),
        Format(
            "colors",
            "colour-coded maps with class_dict.csv",
            tasks=("semantic", "panoptic"),
            files="colors/labels/{name}.png",
            sink="segtune.export.trees.colors:ColorSink",
        ),
        Format(
            "supervisely",
            "Supervisely bitmaps with meta.json",
            tasks=("instance", "panoptic"),
            files="supervisely/dataset/ann/{name}.jpg.json",
            sink="segtune.export.supervisely:SuperviselySink",
            things_only=True,
        ),
        Format(
            "sa1b",
            "SA-1B, masks without names beside each image",
            tasks=("instance", "panoptic"),
            files="sa1b/{name}.json",
            sink="segtune.export.sa1b:Sa1bSink",
            things_only=True,
        ),
    ),
    group="segtune.sinks",
)
"""In the order in which messages list them."""
