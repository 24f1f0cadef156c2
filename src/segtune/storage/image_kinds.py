"""Which picture files can be read: those of Pillow, and of its plug-ins that are installed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PILLOW = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
PLUGINS = {
    ".heic": "pillow-heif",
    ".heif": "pillow-heif",
    ".hif": "pillow-heif",
    ".avif": "pillow-avif-plugin",
    ".jxl": "pillow-jxl-plugin",
}
"""Endings that need a package, unless Pillow itself reads them, as newer ones do AVIF."""
MODULES = {
    "pillow-heif": "pillow_heif",
    "pillow-avif-plugin": "pillow_avif",
    "pillow-jxl-plugin": "pillow_jxl",
}
UNREAD = (
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
    *(".psd", ".svg", ".exr", ".hdr", ".dcm", ".tga", ".ico", ".eps", ".pdf", ".jxr"),
)
"""Pictures that are named where a folder has them, but not read."""


@cache
def is_available(suffix: str) -> bool:
    """Whether files with an ending, in small letters, can be read here."""
    if suffix in PILLOW:
        return True
    if suffix not in PLUGINS:
        return False
    return _has_avif() if suffix == ".avif" and _has_avif() else _module(suffix) is not None


def load_plugin(suffix: str) -> None:
    """Lets Pillow open files with an ending, where that needs a plug-in that is installed."""
    suffix = suffix.lower()
    if suffix not in PLUGINS or (suffix == ".avif" and _has_avif()):
        return
    if (name := _module(suffix)) is not None:
        register = getattr(import_module(name), "register_heif_opener", None)
        if register is not None:
            register()


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its ending, readable or not."""
    suffix = path.suffix.lower()
    return suffix in PILLOW or suffix in PLUGINS or suffix in UNREAD


def why_not(path: Path) -> str:
    """Returns why a file cannot be read as a picture, as the end of a sentence."""
    suffix = path.suffix.lower()
    if suffix in PLUGINS and not is_available(suffix):
        return f"is not read without a plug-in; type pip install {PLUGINS[suffix]}, or save a .png"
    if suffix in UNREAD:
        return "is of a kind that is not read; save it as .png"
    return "is not a readable picture; check the file"


def _module(suffix: str) -> str | None:
    name = MODULES[PLUGINS[suffix]]
    return name if find_spec(name) is not None else None


@cache
def _has_avif() -> bool:
    from PIL import features

    return "avif" in features.modules and features.check_module("avif")


IMAGE_SUFFIXES = (*PILLOW, *(suffix for suffix in PLUGINS if is_available(suffix)))
"""Endings of pictures that can be read here."""
