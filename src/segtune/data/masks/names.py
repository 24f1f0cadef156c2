"""Which entry of a file or folder belongs to an image, where both have names.

The best of these wins, and two of equal rank are refused by name:

    1. the entry is the image's path as it was given
    2. same name, the more folders above it are equal the better: `cam2/0001.jpg`
    3. same name with its ending: `0001.jpg`
    4. same name without it: `0001`, `0001.png`

An entry that fits another image of the same run better is never taken; one that fits two images
equally well is refused by their names.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES

Rank = tuple[int, int]
"""Folders in common, and 1 where the ending is equal too; larger fits better."""
EXACT: Rank = (1_000_000, 1)


class Names:
    """The named entries of a file or folder, searched by image.

    Args:
        known: names of the entries: file names, paths with any separator, or stems.
        where: the file or folder, for messages.
        images: the images of this run, so that none gets the entry of another.

    Example:
        >>> names = Names(["cam1/0001.jpg", "cam2/0001.jpg"], where="masks.json")
        >>> names.find("photos/cam2/0001.jpg")
        'cam2/0001.jpg'
        >>> names.find("photos/cam2/0002.jpg") is None
        True
    """

    def __init__(
        self,
        known: Iterable[str],
        *,
        where: Path | str,
        images: Iterable[Path | str] = (),
    ) -> None:
        self.known = tuple(known)
        self.where = where
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.known:
            self._by_stem[_without_ending(_parts(name)[-1])].append(name)
        self._images: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            self._images[_plain(Path(image).stem)].append(Path(image))

    def find(self, image: Path | str) -> str | None:
        """Returns the entry of an image; None where there is none.

        Raises:
            DataError: two entries fit equally well, or one entry fits two images so.
        """
        path = Path(image)
        same = self._by_stem.get(_plain(path.stem), ())
        ranked = [(_rank(name, path), name) for name in same]
        ranked = [(rank, name) for rank, name in ranked if rank >= self._best_other(name, path)[0]]
        if not ranked:
            return None
        best = max(rank for rank, _ in ranked)
        found = [name for rank, name in ranked if rank == best]
        if len(found) > 1:
            raise DataError(
                f"{self.where} has {len(found)} entries that may be {image}: "
                f"{', '.join(found[:3])}; rename them, or keep the folders of the images in the "
                "names"
            )
        rank, other = self._best_other(found[0], path)
        if rank == best:
            raise DataError(
                f"{found[0]} in {self.where} may be of {image} or of {other}; give it the folder "
                "of its image"
            )
        return found[0]

    def _best_other(self, name: str, image: Path) -> tuple[Rank, Path | None]:
        """Returns how well an entry fits another image of the run, and which."""
        others = (other for other in self._images.get(_plain(image.stem), ()) if other != image)
        ranked = [(_rank(name, other), other) for other in others]
        return max(ranked, default=((-1, 0), None))


def _rank(name: str, image: Path) -> Rank:
    """Returns how well a name with the stem of an image fits it."""
    if name == str(image):
        return EXACT
    *folders, last = _parts(name)
    above = image.absolute().parent.parts
    common = 0
    for ours, theirs in zip(reversed(folders), reversed(above), strict=False):
        if ours != _plain(theirs):
            break
        common += 1
    return (common, int(last == _plain(image.name)))


def _parts(name: str) -> list[str]:
    """Returns folders and file of a name with separators of any system."""
    parts = _plain(name).replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".")] or [""]


def _plain(text: str) -> str:
    """Returns a name in composed letters, as file systems do not agree on accents."""
    return unicodedata.normalize("NFC", text)


def _without_ending(name: str) -> str:
    """Returns a name without the ending of a picture; other dots belong to it."""
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else name


def nameless(where: Path, image: Path | str | None) -> DataError:
    """Returns the error for masks that do not say which of several images they are of."""
    stem = "NAME" if image is None else Path(image).stem
    return DataError(
        f"{where} has no masks for {stem}; for several images give a folder with {stem}/*.png or "
        f"{stem}.png, or a COCO file with file names"
    )
