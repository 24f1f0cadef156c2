"""Small stand-ins for the data and the models that README, docs and `--help` name.

Everything lies under the name that a page uses, public names included, so that its commands run
word by word. The bundled models are replaced by random ones of the same kinds, which are faster.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import segtune
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.mask2former.files import save_mask2former
from segtune.backbones.mask2former.random import TINY as TINY_MASK2FORMER
from segtune.backbones.mask2former.random import random_mask2former
from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.keys import state_to_official
from segtune.backbones.maskformer.model import MaskFormer
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.seem.files import save_seem
from segtune.backbones.seem.model import TINY, random_seem
from segtune.backbones.uniovseg.files import save_uniovseg
from segtune.backbones.uniovseg.random import TINY as UNIOVSEG
from segtune.backbones.uniovseg.random import random_uniovseg
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.files import save_prompts
from segtune.systems.segprompt.prompts import SegPrompts
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer
from tests.backbones.test_hub import _official
from tests.cli.conftest import export_tiny
from tests.data import trees
from tests.data.lvis_ow import sources as lvis_ow

PUBLIC_CLIPS = ("openai/clip-vit-large-patch14", "clip-vit-large-patch14", "MODEL", "clip")
PUBLIC_MASKS = ("facebook/mask2former-swin-large-coco-panoptic", "proposals")
OVSEG_FILES = ("ovseg.pth", "ovseg_swinbase_vitL14_ft_mpt.pth")
CONTEXT = 128
"""Tokens that models read; the tokenizers of the stand-ins know letters and few words."""
QUICK = segtune.FitConfig(loop=segtune.LoopConfig(steps=1), views=1, batch=1, short_side=32)


def zoo(folder: Path) -> Path:
    """Writes random models under the names of the bundled ones."""
    export_tiny(folder / "clip-vit-tiny", seed=0, layers=3, context=CONTEXT)
    save_maskformer(sized(random_maskformer()), folder / "maskformer-tiny")
    objects = random_mask2former(replace(TINY_MASK2FORMER, num_classes=1, class_agnostic=True))
    objects.dense_size = 64
    for name in ("mask2former-tiny", "segprompt-tiny"):
        save_mask2former(objects, folder / name)
    prompts = SegPrompts(SegPromptConfig(num_prompts=2, repeat=2), num_classes=1, width=32)
    prompts.cache.update(torch.randn(1, 1, 32), torch.zeros(1, 1, dtype=torch.int64))
    save_prompts(prompts, ("plain red circle",), folder / "segprompt-tiny")
    tokenizer = train_tokenizer(
        ["a photo of a plain resistor."], vocab_size=600, context_length=CONTEXT
    )
    text = replace(TINY.text, vocab_size=600, context_length=CONTEXT)
    seem = random_seem(replace(TINY, text=text))
    seem.tokenizer, seem.dense_size = tokenizer, 32
    save_seem(seem, folder / "seem-tiny")
    two_stage(folder / "ovseg-tiny", proposals="maskformer-tiny", clip="clip-vit-tiny")
    return folder


def sized(model: MaskFormer) -> MaskFormer:
    """Returns the model, which now looks at images with a short side of 64."""
    model.dense_size = 64
    return model


def two_stage(folder: Path, *, proposals: str, clip: str) -> None:
    """Writes a folder that names both stages."""
    folder.mkdir(parents=True)
    settings = {"model_type": "two-stage", "proposals": proposals, "clip": clip, "dense_size": 64}
    (folder / "config.json").write_text(json.dumps(settings))


def ovseg_file(path: Path) -> None:
    """Writes both stages in the layout of the ov-seg code, with the head numbers it implies."""
    clip = random_clip_vit(
        width=64, text_width=64, layers=2, heads=1, vocab_size=600, context=CONTEXT, seed=5
    )
    config = replace(random_maskformer().config, num_heads=8, groups=32, fpn_width=32, mask_dim=32)
    with torch.random.fork_rng(devices=[]):
        state = state_to_official(MaskFormer(config).state_dict(), config)
    state |= {f"clip_adapter.clip_model.{key}": value for key, value in _official(clip).items()}
    torch.save({"model": state}, path)


def models(folder: Path) -> Path:
    """Writes the models that pages call by a public name, a letter or a file; needs `zoo`."""
    for name in PUBLIC_CLIPS:
        export_tiny(folder / name, seed=0, layers=3, context=CONTEXT)
    for name in PUBLIC_MASKS:
        save_maskformer(sized(random_maskformer()), folder / name)
    for name in OVSEG_FILES:
        ovseg_file(folder / name)
    two_stage(folder / "runs" / "mf", proposals="maskformer-tiny", clip="clip-vit-tiny")
    uniovseg(folder / "uniovseg")
    return folder


def uniovseg(folder: Path) -> None:
    """Writes a random Uni-OVSeg that reads words."""
    text = replace(UNIOVSEG.clip.text, vocab_size=600, context_length=CONTEXT)
    model = random_uniovseg(replace(UNIOVSEG, clip=replace(UNIOVSEG.clip, text=text)), seed=4)
    sentence = "a photo of a green grass and a red star."
    model.clip.tokenizer = train_tokenizer([sentence], vocab_size=600, context_length=CONTEXT)
    save_uniovseg(model, folder)


def data(folder: Path) -> Path:
    """Writes the data sets and files that pages name."""
    photo = trees.noise(0, 255, size=(200, 260)).astype(np.uint8)
    save(folder / "photo.jpg", np.repeat(photo[..., None], 3, axis=2))
    mask = np.zeros((200, 260), np.uint8)
    mask[50:150, 60:200] = 255
    save(folder / "masks" / "car.png", mask)
    save(folder / "support.jpg", np.repeat(photo[..., None], 3, axis=2))
    save(folder / "mask.png", mask)
    masks = {
        "images": [{"id": 1, "file_name": "photo.jpg", "height": 200, "width": 260}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 30, 40]}
            | {"segmentation": [[10, 20, 40, 20, 40, 60, 10, 60]], "area": 1200}
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    for name in ("masks.json", "annotations.json"):
        (folder / name).write_text(json.dumps(masks))
    for name in ("camvid", "CAMVID"):
        trees.camvid(folder / name)
        trees.save_image(folder / name / "train/0016E5_00390.png")
        trees.save_map(folder / name / "trainannot/0016E5_00390.png", trees.noise(0, 12))
    own(folder)
    trees.index_png(folder / "photos")
    trees.save_image(folder / "photos" / "a.jpg")
    (folder / "captions.jsonl").write_text(
        json.dumps({"image": "photo.jpg", "captions": ["A dog on a sofa.", "A car."]}) + "\n"
    )
    for name in ("coco", "COCO"):
        trees.coco_instances(folder / name)
        said = trees.coco_captions(folder / name)
        said.write_text(said.read_text().replace("Second one.", "Two persons and a car."))
        shutil.copytree(folder / name / "val2017", folder / name / "train2017")
        for file in (folder / name / "annotations").glob("*_val2017.json"):
            shutil.copy(file, file.with_name(file.name.replace("val", "train")))
    objects(folder / "objects")
    return benchmarks(folder)


def objects(folder: Path) -> None:
    """Writes LVIS, COCO and UVO, as the page about evaluation has them."""
    lvis, coco = folder / "lvis", folder / "coco"
    content = lvis_ow.files(lvis)
    _, _, train = content.save()
    lvis_ow.coco_val(coco)
    train.rename(coco / "annotations" / train.name)
    for image in (*content.lvis_train["images"], *content.lvis_val["images"]):
        trees.save_image(coco / "/".join(image["coco_url"].split("/")[-2:]))
    trees.uvo(folder / "UVO")


def own(folder: Path) -> None:
    """Writes what the page about own data calls by the names of tools."""
    trees.labelme(folder / "labelme")
    trees.cvat(folder / "cvat")
    trees.cvat_masks(folder / "cvat-masks")
    trees.labelstudio(folder / "labelstudio")
    trees.roboflow(folder / "coco-export")
    trees.yolo(folder / "yolo")
    trees.supervisely(folder / "supervisely")
    trees.voc_project(folder / "voc-export")
    trees.color_png(folder / "colours")


def benchmarks(folder: Path) -> Path:
    """Writes `datasets`, the tree of docs/benchmarks.md, and VOC2012 beside it."""
    root = folder / "datasets"
    trees.ade20k(root / "ADEChallengeData2016")
    trees.ade20k_full(root / "ADE20K_2021_17_01")
    trees.context_published(root / "VOCdevkit/VOC2010", list_file="ImageSets/Main/val.txt")
    trees.voc(root / "VOCdevkit/VOC2012", augmented=False)
    trees.coco_stuff(root / "coco", published=True)
    trees.cityscapes(root / "cityscapes", train_ids=False)
    trees.voc(folder / "VOC2012")
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    """Writes a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
