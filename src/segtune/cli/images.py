"""Which images a user means: files, folders and globs, each with a name for its outputs."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.data.folders import find_files
from segtune.errors import printable
from segtune.storage.image_kinds import is_picture, why_not

logger = logging.getLogger(__name__)

NAMED = 5
"""How many files that are left out are named."""


@dataclass(frozen=True)
class ImageFile:
    """One image to segment: a unique name for its outputs, and where it is."""

    name: str
    path: Path


def find_images(words: Iterable[str]) -> tuple[list[ImageFile], list[str]]:
    """Returns the images that files, folders and globs name, each once, and what was not found.

    A folder means the images directly in it. Names are file stems without control characters,
    numbered where they repeat. What else is in a folder is told in the log.

    Returns:
        The images in the order given, and one sentence per word that names none, and per picture
        of a folder that cannot be read.
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
        if Path(word).is_dir():
            problems += _left_out(Path(word), found)
    return _named(paths.values()), problems


def _matching(word: str) -> list[Path] | str:
    """Returns the image files of one word, or what is wrong with it."""
    path = Path(word)
    if path.is_dir():
        return find_files(path) or _nothing_in(path)
    if path.exists():
        return [path]
    if glob.has_magic(word):
        files = [Path(name) for name in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
        files = [file for file in files if file.is_file()]
        return files or f"no file matches {word}; check the pattern"
    return f"image {word} does not exist; check the path"


def _nothing_in(folder: Path) -> str:
    """Returns what is wrong with a folder without a picture that can be read."""
    others = _left_out(folder, [])
    return others[0] if others else f"folder {folder} has no images; check the path"


def _left_out(folder: Path, found: Sequence[Path]) -> list[str]:
    """Returns one sentence per picture that cannot be read; other files are told in the log."""
    rest = sorted(p for p in set(folder.iterdir()) - set(found) if not p.name.startswith("."))
    pictures = [path for path in rest if path.is_file() and is_picture(path)]
    for what, paths in (
        ("no pictures", [path for path in rest if path.is_file() and path not in pictures]),
        ("folders; a pattern such as '**/*.jpg' looks into them", [p for p in rest if p.is_dir()]),
    ):
        if paths and found:
            names = ", ".join(path.name for path in paths[:NAMED])
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            logger.info("left out of %s, %s: %s%s", folder, what, names, more)
    return [f"image {path} {why_not(path)}" for path in pictures]


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
