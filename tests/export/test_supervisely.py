"""Supervisely's bitmaps, unpacked here as its documents say: base64, zlib, PNG, alpha."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.export.sinks import ImageRef
from segtune.export.supervisely import SuperviselySink
from tests.export.results import WORDS, answer


def test_every_bitmap(tmp_path: Path) -> None:
    sink = SuperviselySink()
    sink.open(tmp_path / "ds0" / "ann", WORDS, images={"a": ImageRef(1, "a.jpeg")})
    sink.add("a", None, answer(last=0))
    folder, meta = sink.close()
    assert (folder, meta) == (tmp_path / "ds0" / "ann", tmp_path / "meta.json")
    classes = json.loads(meta.read_text())["classes"]
    assert [(entry["title"], entry["shape"]) for entry in classes] == [
        ("star", "bitmap"),
        ("grass", "bitmap"),
    ]
    content = json.loads((folder / "a.jpeg.json").read_text())
    assert content["size"] == {"height": 6, "width": 8}
    painted = np.full((6, 8), -1)
    for thing in content["objects"]:
        png = zlib.decompress(base64.b64decode(thing["bitmap"]["data"]))
        mask = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3] > 0
        left, top = thing["bitmap"]["origin"]
        height, width = mask.shape
        window = painted[top : top + height, left : left + width]
        window[mask] = WORDS.index(thing["classTitle"])
    assert (painted == answer(last=0).semantic).all()
