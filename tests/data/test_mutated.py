"""Files that were damaged at random: every reader answers, or says what is wrong in one line.

`SEGTUNE_EXAMPLES=10000` tries more of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segtune.data.formats import open_dataset
from segtune.data.lvis_ow.building import Sources, build
from segtune.data.lvis_ow.invariants import check
from segtune.data.masks.files import read_mask, read_numbers, read_regions
from segtune.data.masks.shapes import Rle, ShapeError, decode_shape
from segtune.data.masks.source import MaskSource
from segtune.errors import SegtuneError
from segtune.storage.images import image_size, read_image
from segtune.vocabulary.parse import parse_vocabulary
from segtune.vocabulary.separators import split_words
from tests.data import trees
from tests.data.lvis_ow import sources as lvis_ow

EXAMPLES = int(os.environ.get("SEGTUNE_EXAMPLES", "60"))
tried = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-3, 9),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 20),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@cache
def folder() -> Path:
    """A place with one data set of each JSON kind, made once."""
    root = Path(mkdtemp())
    trees.coco_instances(root / "instances")
    trees.coco_panoptic(root / "panoptic")
    trees.coco_captions(root / "captions")
    trees.uvo(root / "uvo")
    lvis_ow.lvis_val(root / "lvis")
    return root


def places(value: Any, here: tuple = ()) -> list[tuple]:
    """Returns the paths to everything inside of plain data."""
    found = [here]
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        found += places(value[key], (*here, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, original: Any) -> Any:
    """Plain data in which some values are replaced, removed or repeated."""
    content = deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(content)))
        if not place:
            return draw(VALUES)
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "remove", "repeat"]))
        if action == "remove":
            del parent[place[-1]]
        elif action == "repeat" and isinstance(parent, list):
            parent.append(deepcopy(parent[place[-1]]))
        else:
            parent[place[-1]] = draw(VALUES)
    return content


def answer_or_line(read: Callable[[], Any]) -> Any:
    """Returns what `read` does, or None where it says what is wrong in one line."""
    try:
        return read()
    except (SegtuneError, OSError) as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 3000
    return None


def read_all(path: Path, **options: Any) -> None:
    """Opens a data set and reads every sample."""
    dataset = open_dataset(path, **options)
    for index in range(len(dataset)):
        assert all(item.mask.dtype == bool for item in dataset[index].instances)


@cache
def original(kind: str) -> Any:
    file = next((folder() / kind / "annotations").glob("*.json"))
    return json.loads(file.read_text())


def _try_json(kind: str, content: Any, *, skip_bad: bool) -> None:
    file = next((folder() / kind / "annotations").glob("*.json"))
    file.write_text(json.dumps(content))
    options = {"skip_bad": "1"} if skip_bad else {}
    answer_or_line(lambda: read_all(file, layout=f"coco_{kind}", options=options))


@tried
@given(mutated(original("instances")), st.booleans())
def test_instances(content: Any, skip_bad: bool) -> None:
    _try_json("instances", content, skip_bad=skip_bad)


@tried
@given(mutated(json.loads(trees.uvo(folder() / "videos").read_text())), st.booleans())
def test_videos(content: Any, skip_bad: bool) -> None:
    file = folder() / "uvo" / "VideoDenseSet" / "UVO_video_val_dense.json"
    file.write_text(json.dumps(content))
    options = {"skip_bad": "1"} if skip_bad else {}
    answer_or_line(lambda: read_all(file, layout="uvo", options=options))


def few_classes(content: dict) -> dict:
    """A file of LVIS of which mutations hit the images and objects, too."""
    return content | {"categories": content["categories"][:3]}


@tried
@given(mutated(few_classes(lvis_ow.files(folder() / "lvis").lvis_val)), st.booleans())
def test_lists_of_lvis(content: Any, skip_bad: bool) -> None:
    file = folder() / "lvis" / "lvis_v1_val.json"
    file.write_text(json.dumps(content))
    options = {"skip_bad": "1"} if skip_bad else {}
    answer_or_line(lambda: read_all(file, layout="coco_instances", options=options))


@tried
@given(
    mutated(few_classes(lvis_ow.files(folder() / "lvis").lvis_train)),
    mutated(few_classes(lvis_ow.files(folder() / "lvis").coco)),
)
def test_sources_of_lvis_ow(train: Any, coco: Any) -> None:
    sources = lvis_ow.files(folder() / "sources")
    sources.lvis_train, sources.coco = train, coco
    paths = sources.save()

    def build_all() -> None:
        opened = Sources.open(*paths)
        build(opened, folder() / "out", say=lambda _: None)
        check(opened, folder() / "out")

    answer_or_line(build_all)


@tried
@given(mutated(original("panoptic")), st.booleans())
def test_panoptic(content: Any, skip_bad: bool) -> None:
    _try_json("panoptic", content, skip_bad=skip_bad)


@tried
@given(mutated(original("captions")))
def test_captions(content: Any) -> None:
    _try_json("captions", content, skip_bad=False)


@tried
@given(
    st.one_of(
        mutated(original("instances")),
        mutated({"a.jpg": original("instances")["annotations"], "b.jpg": []}),
        mutated(original("instances")["annotations"]),
    ),
    st.sampled_from([None, "a.jpg", "000000000139.jpg"]),
    st.booleans(),
)
def test_masks_in_json(content: Any, image: str | None, skip_bad: bool) -> None:
    file = folder() / "masks.json"
    file.write_text(json.dumps(content))
    masks = answer_or_line(lambda: MaskSource(file, skip_bad=skip_bad).of(image, trees.SIZE))
    assert masks is None or masks.shape[1:] == trees.SIZE


@tried
@given(
    st.lists(st.lists(NUMBERS.map(float), max_size=12), max_size=3)
    | st.builds(Rle, st.lists(st.integers(-2, 9), max_size=3), st.lists(st.integers(-5, 60)))
    | st.builds(Rle, st.just([6, 8]), st.text(st.characters(min_codepoint=40, max_codepoint=130)))
    | st.builds(Rle, st.just([6, 8]), st.text("0123456789:;<=>?@ABCNOPQR`abcno", max_size=20))
)
def test_shapes(shape: Any) -> None:
    with suppress(ShapeError):
        assert decode_shape(shape, trees.SIZE).shape == trees.SIZE


@cache
def pictures() -> dict[str, bytes]:
    """Small pictures of every kind, by ending."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 3, (9, 11), np.uint8))
    kinds = {"a.png": grey, "a.tif": grey, "a.gif": grey, "a.bmp": grey, "a.jpg": grey}
    kinds["16.png"] = Image.fromarray(rng.integers(0, 9999, (9, 11)).astype(np.uint16))
    kinds["f.tif"] = Image.fromarray(rng.random((9, 11), np.float32))
    kinds["rgba.png"] = Image.fromarray(rng.integers(0, 255, (9, 11, 4), np.uint8))
    kinds["rgb.webp"] = kinds["rgba.png"].convert("RGB")
    made = {}
    for name, image in kinds.items():
        image.save(folder() / name)
        made[name] = (folder() / name).read_bytes()
    return made


@tried
@given(st.data())
def test_pictures(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(pictures())))
    content = bytearray(pictures()[name])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    file = folder() / name
    file.write_bytes(bytes(content))
    for read in (read_image, image_size, read_mask, read_regions, read_numbers):
        answer_or_line(partial(read, file))


@tried
@given(st.text(max_size=40), st.sampled_from([".txt", ".yaml", ".json"]), st.booleans())
def test_words(text: str, suffix: str, ordered: bool) -> None:
    file = folder() / f"words{suffix}"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    answer_or_line(lambda: split_words(text))
    answer_or_line(lambda: parse_vocabulary(file, in_label_order=ordered))
