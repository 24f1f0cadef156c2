"""The ids of an annotation file, for results that are compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from segtune.data.formats.coco.files import ids_of, image_name
from segtune.data.formats.coco.schemas import Category, CocoImage
from segtune.data.masks.names import Names
from segtune.errors import DataError
from segtune.storage.json_files import read_json
from segtune.types import Vocabulary


class Listed(msgspec.Struct):
    """What is read of the file."""

    images: list[CocoImage]
    categories: list[Category] = []


@dataclass(frozen=True)
class Ids:
    """Ids of images and categories.

    Attributes:
        file: the annotation file.
        images: file name -> image id.
        categories: name -> category id.
    """

    file: Path
    images: dict[str, int | str]
    categories: dict[str, int | str]

    def of_images(self, paths: Sequence[Path]) -> list[tuple[int | str, str]]:
        """Returns the id and the file name of each image.

        Raises:
            DataError: one is not in the file.
        """
        names = Names(self.images, where=self.file, images=paths)
        found = []
        for path in paths:
            name = names.find(path)
            if name is None:
                raise DataError(
                    f"{self.file} has no image {path.name}; its images are "
                    f"{', '.join(list(self.images)[:3])}, ...; leave others out"
                )
            found.append((self.images[name], name))
        return found

    def of_classes(self, vocabulary: Vocabulary) -> list[int]:
        """Returns the category id of each class.

        Raises:
            DataError: a class is no category of the file, or its id is no number.
        """
        known = {name.lower(): number for name, number in self.categories.items()}
        if lacking := [name for name in vocabulary.names if name.lower() not in known]:
            raise DataError(
                f"{lacking[0]!r} is no category of {self.file}; its categories are "
                f"{', '.join(list(self.categories)[:5])}, ...: type them as --vocab"
            )
        found = [known[name.lower()] for name in vocabulary.names]
        if texts := [number for number in found if isinstance(number, str)]:
            raise DataError(f"{self.file} has the category id {texts[0]!r}; COCO's are numbers")
        return [number for number in found if isinstance(number, int)]


def read_ids(file: Path) -> Ids:
    """Returns the ids of a COCO annotation file."""
    content = read_json(file, Listed)
    images = ids_of(content.images, kind="images", file=file)
    categories = ids_of(content.categories, kind="categories", file=file)
    return Ids(
        file,
        {image_name(image, file=file): number for number, image in images.items()},
        {str(category.name): number for number, category in categories.items()},
    )
