"""Which images a user means: files, folders and globs, each with a name for its outputs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.data.folders import find_files
from segtune.errors import printable


@dataclass(frozen=True)
class ImageFile:
    """One image to segment: a unique name for its outputs, and where it is."""

    name: str
    path: Path


def find_images(words: Iterable[str]) -> tuple[list[ImageFile], list[str]]:
    """Returns the images that files, folders and globs name, each once, and what was not found.

    A folder means the images directly in it. Names are file stems without control characters,
    numbered where they repeat.

    Returns:
        The images in the order given, and one sentence per word that names none.
    """
    paths: dict[Path, Path] = {}
    problems = []
    for word in words:
        found = _matching(word)
        if isinstance(found, str):
            problems.append(found)
            continue
        for path in found:
            paths.setdefault(path.resolve(), path)
    return _named(paths.values()), problems


def _matching(word: str) -> list[Path] | str:
    """Returns the image files of one word, or what is wrong with it."""
    path = Path(word)
    if path.is_dir():
        return find_files(path) or f"folder {word} has no images; check the path"
    if path.exists():
        return [path]
    if glob.has_magic(word):
        files = [Path(name) for name in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
        files = [file for file in files if file.is_file()]
        return files or f"no file matches {word}; check the pattern"
    return f"image {word} does not exist; check the path"


def _named(paths: Iterable[Path]) -> list[ImageFile]:
    taken: set[str] = set()
    images = []
    for path in paths:
        stem, number = printable(path.stem) or "image", 1
        name = stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        images.append(ImageFile(name, path))
    return images


def relative_names(images: Sequence[ImageFile]) -> dict[str, str]:
    """Returns name -> path of the file below the folder that all images share, for COCO files."""
    folders = [str(image.path.resolve().parent) for image in images]
    shared = Path(os.path.commonpath(folders))
    return {image.name: image.path.resolve().relative_to(shared).as_posix() for image in images}
