"""Every reader of files from strangers: a whole file, how it is damaged, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from segtune.backbones.hub import load_backbone
from segtune.cli.options import clicks
from segtune.data.formats import open_dataset, read_vocabulary
from segtune.data.images import read_label_map
from segtune.data.masks.source import MaskSource
from segtune.data.pairs import encode_rle, read_pairs
from segtune.fewshot.run import read_recipe
from segtune.prompts import Prompts
from segtune.storage.images import read_image
from segtune.storage.weights import read_state
from segtune.trainers.bundled.clip.recipe import KIND as CLIP
from segtune.trainers.maskformer.recipe import read_recipe as read_proposals
from segtune.trainers.pairs.recipe import read_recipe as read_pair_recipe
from segtune.types import Resolution, TemplateSet, Vocabulary
from tests.data import trees
from tests.fuzz.reader import Reader
from tests.fuzz.strategies import damaged_bytes, damaged_json, damaged_text
from tests.fuzz.tools import tool_readers


def all_readers(root: Path, model_folder: str) -> dict[str, Reader]:
    """Returns the readers by name; whole files are made below `root`."""
    made = (
        _data(root),
        _words(root),
        _pictures(root),
        _weights(root),
        _models(root, model_folder),
        tool_readers(root / "tools"),
    )
    return {name: reader for some in made for name, reader in some.items()}


def _data(root: Path) -> dict[str, Reader]:
    instances = trees.coco_instances(root / "instances")
    panoptic, _ = trees.coco_panoptic(root / "panoptic")
    said = trees.coco_captions(root / "said")
    captions = trees.captions(root / "captions")
    trees.save_image(root / "pairs" / "a.png")
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    pair = {"image": "a.png", "id": "a", "size": [4, 5], "rle": encode_rle(mask)}
    pair |= {"box": [1, 1, 4, 3], "text": "dog", "noun": "dog", "caption": 0, "score": 0.3}
    pair |= {"source": "ground-truth"}
    clicked = {"a.png": [[1, 2, 1], [3, 4, 0]], "b.png": [[[1, 2]], [[3, 4, 1]]]}
    (root / "points").mkdir()
    return {
        "coco instances": _json(instances, lambda path: _all(path, "coco_instances")),
        "coco panoptic": _json(panoptic, lambda path: _all(path, "coco_panoptic")),
        "coco captions": _json(said, lambda path: _all(path, "coco_captions")),
        "captions": Reader(
            captions,
            damaged_json(json.loads(captions.read_text().splitlines()[0]))
            | damaged_text(captions.read_text()),
            lambda path: _all(path, "captions"),
        ),
        "pairs": Reader(
            root / "pairs" / "p.jsonl",
            damaged_json(pair) | damaged_bytes(json.dumps(pair).encode()),
            lambda path: [each.mask() for each in read_pairs(path)],
        ),
        "points": Reader(
            root / "points" / "p.json", damaged_json(clicked), lambda path: clicks.points(str(path))
        ),
        "boxes": Reader(
            root / "points" / "b.json",
            damaged_json({"a.png": [[1, 2, 3, 4]]}),
            lambda path: clicks.boxes(str(path)),
        ),
    }


def _words(root: Path) -> dict[str, Reader]:
    words = {"name": "w", "classes": [{"name": "a", "synonyms": ["b"], "color": [1, 2, 3]}, "c|d"]}
    words |= {"negatives": ["e"]}
    yaml = "name: w\nclasses:\n- a | b\n- {name: c, kind: stuff, color: '#102030'}\nnegatives: [e]"
    recipe = "system: rpn\ndata: photos\nfit:\n  batch: 2\n  loop: {steps: 3, lr: 1e-3}\nseed: 1\n"
    pairs = "system: ovseg/pairs\ndata: photos\nstages: [{mode: ft}, {mode: mpt, depth: 2}]\n"
    masks = "system: ovseg/maskformer\npreset: tiny\ndata: photos\nshorts: [64]\ncrop: 64\n"
    clip = "system: zoo/clip_vit\npreset: cpu\nlr: 1e-3\nscene_windows: [48, 64]\n"
    folder = root / "words"
    folder.mkdir()

    def text(name: str, whole: str, read: Callable[[Path], object]) -> Reader:
        return Reader(folder / name, damaged_text(whole), read)

    return {
        "vocabulary json": Reader(folder / "v.json", damaged_json(words), read_vocabulary),
        "vocabulary yaml": text("v.yaml", yaml, read_vocabulary),
        "vocabulary txt": text("v.txt", "a | b\nc\n!d\n# e\n", read_vocabulary),
        "recipe": text("r.yaml", recipe, read_recipe),
        "recipe as json": Reader(
            folder / "j.yaml",
            damaged_json({"system": "rpn", "data": "x", "fit": {"loop": {"lr": 1}}, "shots": 2}),
            read_recipe,
        ),
        "recipe of pairs": text("p.yaml", pairs, read_pair_recipe),
        "recipe of proposals": text("m.yaml", masks, read_proposals),
        "recipe of clip": text("c.yaml", clip, CLIP.read),
    }


def _pictures(root: Path) -> dict[str, Reader]:
    folder = root / "pictures"
    image = trees.save_image(folder / "image.png", size=(8, 6))
    labels = folder / "labels.png"
    trees.save_map(labels, np.arange(48).reshape(8, 6) % 3)
    np.save(folder / "masks.npy", np.eye(8, 6, dtype=bool)[None])
    rle = {"size": [8, 6], "counts": [1, 3, 44]}
    document = {
        "images": [{"id": 1, "file_name": "image.png", "height": 8, "width": 6}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": rle},
            {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 5]]},
        ],
        "categories": [{"id": 1, "name": "a"}],
    }

    def masks(path: Path) -> object:
        return MaskSource(path, images=[image]).of(image, (8, 6), only_image=True)

    return {
        "image png": Reader(folder / "a.png", damaged_bytes(image.read_bytes()), read_image),
        "index map": Reader(folder / "b.png", damaged_bytes(labels.read_bytes()), read_label_map),
        "masks png": Reader(folder / "c.png", damaged_bytes(labels.read_bytes()), masks),
        "masks npy": Reader(
            folder / "d.npy", damaged_bytes((folder / "masks.npy").read_bytes()), masks
        ),
        "masks json": Reader(folder / "e.json", damaged_json(document), masks),
    }


def _weights(root: Path) -> dict[str, Reader]:
    folder = root / "weights"
    folder.mkdir()
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    torch.save(tensors, folder / "whole.pt")
    torch.save(tensors, folder / "stream.pt", _use_new_zipfile_serialization=False)
    prompts = Prompts(
        system="rpn",
        options={"variant": "paper", "static_tokens": 2, "grid": [1, 2]},
        model="m",
        fingerprint="f" * 16,
        tensors=tensors,
        vocabulary=Vocabulary.of("a", "b"),
        templates=TemplateSet("name", ("{}",)),
        resolution=Resolution.of(64),
        training={"shots": 4},
        metrics={"mIoU": 0.5},
    )
    content = prompts.save(folder / "whole.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["segtune"])

    def with_header(text: bytes) -> bytes:
        return bytes(save(tensors, metadata={"segtune": text.decode()}))

    files = {name: (folder / name).read_bytes() for name in ("whole.pt", "stream.pt")}
    return {
        "prompt header": Reader(
            folder / "h.safetensors", damaged_json(header).map(with_header), Prompts.load
        ),
        "prompt file": Reader(folder / "p.safetensors", damaged_bytes(content), Prompts.load),
        "weights safetensors": Reader(folder / "w.safetensors", damaged_bytes(content), read_state),
        "weights zip": Reader(folder / "z.pt", damaged_bytes(files["whole.pt"]), read_state),
        "weights stream": Reader(folder / "s.pt", damaged_bytes(files["stream.pt"]), read_state),
    }


def _models(root: Path, model_folder: str) -> dict[str, Reader]:
    """Model folders whose config.json is damaged."""
    import shutil

    from segtune.backbones.maskformer.files import save_maskformer
    from segtune.backbones.maskformer.random import random_maskformer

    clip = Path(shutil.copytree(model_folder, root / "clip"))
    masks = save_maskformer(random_maskformer(), root / "pair" / "masks")
    pair = {"model_type": "two-stage", "proposals": masks.name, "clip": model_folder}
    (root / "pair" / "config.json").write_text(json.dumps({**pair, "dense_size": 32}))
    return {
        f"config of {name}": _json(folder / "config.json", lambda path: load_backbone(path.parent))
        for name, folder in (("clip", clip), ("pair", root / "pair"))
    }


def _json(file: Path, read: Callable[[Path], object]) -> Reader:
    """Returns the reader of a JSON file that is whole."""
    content: Any = json.loads(file.read_text())
    return Reader(file, damaged_json(content) | damaged_bytes(file.read_bytes()), read)


def _all(path: Path, layout: str) -> None:
    dataset = open_dataset(path, layout=layout)
    for index in range(len(dataset)):
        dataset[index]
