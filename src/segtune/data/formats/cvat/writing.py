"""annotations.xml for CVAT, image by image, so that memory does not grow with their number.

Every segment is a `mask` with run lengths, which CVAT 2.3 and later edit with a brush; polygons
would lose holes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryFile
from xml.sax.saxutils import escape, quoteattr

from segtune.data.formats.cvat.shapes import run_lengths
from segtune.storage.files import atomic_write
from segtune.types import Concept, Segmentation, Vocabulary


class CvatDocument:
    """The images of one XML file; until it is closed, they lie in an unnamed file beside it."""

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        """Opens the file to write, for results over a vocabulary."""
        self.path, self._vocabulary, self._count = path, vocabulary, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._body = TemporaryFile(dir=path.parent)  # noqa: SIM115

    def add(self, image_name: str, result: Segmentation) -> None:
        """Adds an image; later segments lie above earlier ones."""
        height, width = result.size
        lines = [
            f'  <image id="{self._count}" name={quoteattr(image_name)} width="{width}" '
            f'height="{height}">'
        ]
        for number, segment in enumerate(result.segments):
            if not segment.mask.any():
                continue
            label = result.vocabulary.names[segment.class_id]
            left, top = segment.box_px[:2]
            h, w = segment.mask.shape
            lines.append(
                f'    <mask label={quoteattr(label)} source="auto" occluded="0" '
                f'rle="{run_lengths(segment.mask)}" left="{left}" top="{top}" width="{w}" '
                f'height="{h}" z_order="{number}"></mask>'
            )
        lines.append("  </image>\n")
        self._body.write("\n".join(lines).encode())
        self._count += 1

    def close(self) -> Path:
        """Writes the file and returns its path."""
        labels = "".join(map(_label, self._vocabulary))
        head = (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta><task><labels>{labels}</labels></task></meta>\n"
        )
        with self._body, atomic_write(self.path) as temporary, temporary.open("wb") as stream:
            stream.write(head.encode())
            self._body.seek(0)
            shutil.copyfileobj(self._body, stream)
            stream.write(b"</annotations>\n")
        return self.path

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._body.close()


def _label(concept: Concept) -> str:
    color = ""
    if concept.color is not None:
        r, g, b = concept.color
        color = f"<color>#{r:02x}{g:02x}{b:02x}</color>"
    return f"<label><name>{escape(concept.name)}</name>{color}</label>"
