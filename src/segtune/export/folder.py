"""Results of many images in one folder, in several formats at once.

DIR/vocabulary.json       what the class ids mean
DIR/overlays/NAME.png     and whatever else the formats write, each at its own place
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from segtune.export.behind import Behind, Finish
from segtune.export.sinks import SINKS, Format, ImageRef, Prepares, Sink
from segtune.types import Segmentation, Vocabulary
from segtune.viz.palette import coloured
from segtune.vocabulary.parse import write_vocabulary

LARGE_PX = 4_000_000
"""Results of more pixels are written before the next one is asked for."""


class ResultFolder:
    """Writes results as they come, so that memory does not grow with the number of images.

    Files that hold all images are written at the end of the `with` block, and not at all after an
    error. Nothing is written before the first result.

    Attributes:
        written: files and folders, known after the block.

    Example:
        >>> import tempfile
        >>> words = Vocabulary.of("sky", "sea")
        >>> result = Segmentation((1, 2), words, np.array([[0, 1]], np.int32))
        >>> with ResultFolder(tempfile.mkdtemp(), words, formats=["png"]) as folder:
        ...     folder.add("photo", None, result)
        >>> [path.name for path in folder.written]
        ['vocabulary.json', 'labels']
    """

    def __init__(
        self,
        folder: Path | str,
        vocabulary: Vocabulary,
        *,
        formats: Sequence[str],
        images: Mapping[str, ImageRef] | None = None,
        things_only: bool = False,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        """Sets where to write and what.

        Args:
            folder: created where missing.
            vocabulary: of the results.
            formats: names in `SINKS`.
            images: name -> how annotation files refer to the image; see `Sink.open`.
            things_only: leave stuff out of formats that list objects.
            category_ids: number of each class in formats that have such; their own by default.
        """
        self.written: list[Path] = []
        self._folder, self._vocabulary = Path(folder), coloured(vocabulary)
        self._formats = [SINKS.find(name) for name in formats]
        self._images, self._things_only = images, things_only
        self._category_ids = category_ids
        self._sinks: list[tuple[Format, Sink]] = []
        self._behind = Behind()

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Takes the result of one image; see `Sink.add`.

        Pictures are drawn and encoded in threads; all is written in the order of the images. Errors
        are raised here or at the end of the block, for the first image that has one.
        """
        if not self._sinks:
            self._open()
        parts: list[Callable[[], Finish]] = []
        for entry, sink in self._sinks:
            is_about_things = self._things_only and entry.things_only
            given = (name, image, _things(result) if is_about_things else result)
            if isinstance(sink, Prepares):
                parts.append(partial(sink.prepare, *given))
            else:
                parts.append(partial(partial, sink.add, *given))  # nothing before its turn
        self._behind.add(parts, at_once=result.size[0] * result.size[1] > LARGE_PX)

    def _open(self) -> None:
        path = self._folder / "vocabulary.json"
        write_vocabulary(path, self._vocabulary)
        self.written.append(path)
        for entry in self._formats:
            sink = entry.make()
            if self._category_ids is not None and hasattr(sink, "category_ids"):
                sink.category_ids = self._category_ids
            sink.open(self._folder / entry.place, self._vocabulary, images=self._images)
            self._sinks.append((entry, sink))

    def _finish(self, kind: type[BaseException] | None) -> None:
        """Writes what was taken; after an error, that error is the one that is told."""
        with suppress(*(() if kind is None else (Exception,))):
            self._behind.finish()

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._finish(kind)
            while kind is None and self._sinks:
                self.written += self._sinks[0][1].close()
                del self._sinks[0]
        finally:
            for _, sink in self._sinks:
                sink.abort()


def _things(result: Segmentation) -> Segmentation:
    concepts = result.vocabulary.concepts
    things = tuple(s for s in result.segments if concepts[s.class_id].kind == "thing")
    return replace(result, segments=things)
