"""A COCO file that is written image by image, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from segtune.data.formats.coco.files import image_id_of, numbered
from segtune.storage.json_lists import JsonLists
from segtune.types import Vocabulary


class CocoDocument:
    """The lists `images`, `annotations` and `categories` of a COCO file.

    As a context, it closes where all went well; an error leaves the file that was there before.

    Attributes:
        category_ids: the id of each class in the file.
        categories: their entries, which may be added to until it is closed.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        vocabulary: Vocabulary,
        category_ids: Sequence[int] | None = None,
        image_ids: Mapping[str, int | str] | None = None,
        image_names: Mapping[str, str] | None = None,
    ) -> None:
        """Opens the lists.

        Args:
            path: the JSON file.
            vocabulary: becomes the categories.
            category_ids: the data set's id of each class; 1, 2, 3, ... by default.
            image_ids: the data set's id of each sample, from `files.image_ids`; by default the
                number that the sample id is, else its position.
            image_names: sample id -> file name of its image; `<id>.jpg` by default.
        """
        self.category_ids = numbered(vocabulary, category_ids)
        self.categories = _category_entries(vocabulary, self.category_ids)
        self._image_ids, self._image_names = image_ids, image_names
        self._lists = JsonLists(path, ("images", "annotations"))

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self._lists.path

    @property
    def num_annotations(self) -> int:
        """How many there are so far."""
        return self._lists.counts["annotations"]

    def add_image(
        self, sample_id: str, size: tuple[int, int], about: Mapping[str, Any] | None = None
    ) -> int | str:
        """Adds an image of (H, W) and returns its id in the file."""
        image_id = image_id_of(sample_id, self._lists.counts["images"], self._image_ids)
        height, width = size
        known = self._image_names
        name = f"{sample_id}.jpg" if known is None else known[sample_id]
        entry = {"id": image_id, "file_name": name, "height": height, "width": width}
        self._lists.append("images", entry | dict(about or {}))
        return image_id

    def add_annotation(self, entry: Mapping[str, Any]) -> None:
        """Adds an annotation."""
        self._lists.append("annotations", entry)

    def close(self) -> Path:
        """Writes the file and returns its path."""
        return self._lists.close(categories=self.categories)

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._lists.abort()

    def __enter__(self) -> CocoDocument:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _category_entries(vocabulary: Vocabulary, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the `categories` list of a COCO file."""
    entries = []
    for concept, category_id in zip(vocabulary, category_ids, strict=True):
        entry: dict[str, Any] = {"id": category_id, "name": concept.name}
        entry["isthing"] = int(concept.kind == "thing")
        if concept.color is not None:
            entry["color"] = list(concept.color)
        entries.append(entry)
    return entries
