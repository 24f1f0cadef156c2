"""Tiny data sets in the folder layouts of the public ones, made of noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (6, 8)
"""(height, width) of every image here; not square, so that exchanged sides show."""


def noise(low: int, high: int, *, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Returns (H, W) int32 of values low..high - 1, each present as far as there is room."""
    values = np.resize(np.arange(low, high), size[0] * size[1])
    return np.random.default_rng(seed).permutation(values).reshape(size).astype(np.int32)


def save_image(path: Path, *, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """Writes an RGB picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_map(path: Path, values: np.ndarray, *, bits: int = 8, palette: bool = False) -> np.ndarray:
    """Writes raw values as an index map of 8 or 16 bits and returns them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16))
    if palette:
        image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    image.save(path)
    return values


def camvid(root: Path) -> dict[str, np.ndarray]:
    """Train: two sequences; val: one frame. Returns the raw maps by frame."""
    frames = {
        "train": ("0001TP_006690", "0001TP_006720", "0006R0_f00930"),
        "val": ("0016E5_07959",),
    }
    raw = {}
    for split, names in frames.items():
        for seed, name in enumerate(names):
            save_image(root / split / f"{name}.png", seed=seed)
            values = noise(0, 12, seed=seed)
            raw[name] = save_map(root / f"{split}annot" / f"{name}.png", values)
    return raw


def index_png(root: Path, *, names: tuple[str, ...] = ("a", "b"), classes: int = 3) -> None:
    """An undivided folder with `classes.txt`; 255 is in the maps."""
    for seed, name in enumerate(names):
        save_image(root / "images" / f"{name}.jpg", seed=seed)
        values = noise(0, classes, seed=seed)
        values[0, 0] = 255
        save_map(root / "labels" / f"{name}.png", values)
    lines = [f"class {i}" for i in range(classes)]
    (root / "classes.txt").write_text("\n".join(lines), encoding="utf-8")


def ade20k(root: Path) -> np.ndarray:
    """ADEChallengeData2016 with one image per split; returns the raw map."""
    for split in ("training", "validation"):
        save_image(root / "images" / split / "ADE_00000001.jpg")
        values = noise(110, 151)
        values[0, :2] = 0
        save_map(root / "annotations" / split / "ADE_00000001.png", values)
    return values


def ade20k_prepared(root: Path) -> np.ndarray:
    """ADEChallengeData2016 with prepared maps only, validation; returns the raw map."""
    save_image(root / "images" / "validation" / "ADE_val_00000001.jpg")
    values = noise(110, 150)
    values[0, :2] = 255
    file = root / "annotations_detectron2" / "validation" / "ADE_val_00000001.png"
    return save_map(file, values)


def ade20k_full(root: Path, *, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The full release as published, one image per split; returns the object ids of validation.

    Every image has a folder with masks of its objects and a map of parts beside it.
    """
    ids = np.random.default_rng(3).choice(ADE20K_FULL_IDS, size).astype(np.int32)
    ids[0, :3] = (0, 1, 3500)
    channels = np.stack([ids // 256 * 10, ids % 256, np.full_like(ids, 77)], axis=-1)
    scenes = {"training": "urban/street/ADE_train_00016869", "validation": "home/attic/ADE_val_01"}
    for split, name in scenes.items():
        image = save_image(root / "images" / "ADE" / split / f"{name}.jpg", size=size)
        for ending in ("_seg", "_parts_1"):
            pixels = Image.fromarray(channels.astype(np.uint8))
            pixels.save(image.with_name(f"{image.stem}{ending}.png"))
        save_map(image.with_suffix("") / f"instance_000_{image.stem}.png", ids % 2)
        save_json(image.with_suffix(".json"), {"annotation": {}})
    (root / "index_ade20k.pkl").write_bytes(b"no pickle: never opened")
    return ids


ADE20K_FULL_IDS = (6, 165, 312, 350, 447, 838, 976, 2131, 2377, 2420, 2855, 2978, 3055, 3156)
"""Some object ids that are classes; 1 and 3500 are not."""


def ade20k_full_prepared(root: Path) -> np.ndarray:
    """The prepared full release, validation only; returns the raw map."""
    save_image(root / "images_detectron2" / "validation" / "ADE_val_00000001.jpg")
    values = noise(801, 847)
    values[0, :2] = (65535, 255)
    file = root / "annotations_detectron2" / "validation" / "ADE_val_00000001.tif"
    return save_map(file, values, bits=16)


def voc(root: Path, *, augmented: bool = True) -> np.ndarray:
    """VOC2012 with the lists train, val and, below `list`, train_aug in two columns."""
    values = noise(0, 21)
    values[0, 0] = 255
    for name in ("2007_000032", "2007_000039"):
        save_image(root / "JPEGImages" / f"{name}.jpg")
        save_map(root / "SegmentationClass" / f"{name}.png", values, palette=True)
        if augmented:
            save_map(root / "SegmentationClassAug" / f"{name}.png", values)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2007_000039\n\n")
    if augmented:
        (root / "list").mkdir()
        (root / "list" / "train_aug.txt").write_text(
            "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n"
            "/JPEGImages/2007_000039.jpg /SegmentationClassAug/2007_000039.png\n"
        )
    return values


def voc_prepared(root: Path) -> np.ndarray:
    """VOC2012 with prepared maps of val; one image has none. Returns the raw map."""
    values = noise(0, 20)
    values[0, 0] = 255
    for name in ("2007_000039", "2007_000061"):
        save_image(root / "JPEGImages" / f"{name}.jpg")
    return save_map(root / "annotations_detectron2" / "val" / "2007_000039.png", values)


def context_published(root: Path, *, list_file: str = "pascalcontext_val.txt") -> np.ndarray:
    """VOC2010 with the MATLAB files of the release; returns the raw map, 1..459."""
    from scipy.io import savemat

    size = (18, 26)
    values = noise(1, 460, size=size)
    save_image(root / "JPEGImages" / "2008_000002.jpg", size=size)
    save_image(root / "JPEGImages" / "2008_000009.jpg", size=size)
    (root / "trainval").mkdir(parents=True)
    for name in ("2008_000002", "2008_000009"):
        savemat(root / "trainval" / f"{name}.mat", {"LabelMap": values.astype(np.uint16)})
    file = root / list_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("2008_000002\n")
    return values


def context_alphabetical(root: Path) -> np.ndarray:
    """VOC2010 with SegmentationClassContext; returns the raw map, 0 background."""
    values = noise(0, 60)
    values[0, :2] = (0, 59)
    save_image(root / "JPEGImages" / "2008_000002.jpg")
    save_map(root / "SegmentationClassContext" / "2008_000002.png", values)
    lists = root / "ImageSets" / "SegmentationContext"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2008_000002\n")
    return values


def context_prepared(root: Path) -> dict[str, np.ndarray]:
    """VOC2010 with the prepared maps of 59 and 459 classes; returns both raw maps."""
    few, many = noise(12, 59), noise(412, 459)
    few[0, 0], many[0, 0] = 255, 65535
    save_image(root / "JPEGImages" / "2008_000002.jpg")
    save_image(root / "JPEGImages" / "2008_000009.jpg")
    prepared = root / "annotations_detectron2"
    save_map(prepared / "pc59_val" / "2008_000002.png", few)
    save_map(prepared / "pc459_val" / "2008_000002.tif", many, bits=16)
    return {"59": few, "459": many}


def coco_stuff(root: Path, *, published: bool) -> np.ndarray:
    """COCO-Stuff val with prepared or published values; returns the raw map."""
    name = "000000000139"
    if published:
        save_image(root / "val2017" / f"{name}.jpg")
        values = noise(135, 182)
        values[0, :3] = (255, 11, 90)
        return save_map(root / "stuffthingmaps" / "val2017" / f"{name}.png", values)
    save_image(root / "images" / "val2017" / f"{name}.jpg")
    values = noise(124, 171)
    values[0, 0] = 255
    folder = root / "annotations" / "val2017"
    save_map(folder / f"{name}.png", noise(0, 182))
    return save_map(folder / f"{name}_labelTrainIds.png", values)


def cityscapes(root: Path, *, train_ids: bool = True) -> dict[str, np.ndarray]:
    """One frame of Aachen (train) and one of Frankfurt (val); returns the maps of the latter."""
    raw = noise(0, 34)
    numbers = raw.copy()
    numbers[raw == 26] = 26001
    numbers[0, :3] = (24000, 24001, 26)
    raw[0, :3] = (24, 24, 26)
    trained = np.full_like(raw, 255)
    for value, raw_id in enumerate(CITYSCAPES_RAW_IDS):
        trained[raw == raw_id] = value
    for split, frame in (("train", "aachen_000000_000019"), ("val", "frankfurt_000000_000294")):
        city = frame.split("_")[0]
        save_image(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png")
        truth = root / "gtFine" / split / city
        save_map(truth / f"{frame}_gtFine_labelIds.png", raw)
        save_map(truth / f"{frame}_gtFine_instanceIds.png", numbers, bits=16)
        save_image(truth / f"{frame}_gtFine_color.png")
        if train_ids:
            save_map(truth / f"{frame}_gtFine_labelTrainIds.png", trained)
    return {"raw": raw, "trained": trained, "numbers": numbers}


def acdc(root: Path) -> np.ndarray:
    """One training frame in fog and one at night; returns the raw map."""
    values = noise(0, 19)
    values[0, 0] = 255
    for condition, frame in (("fog", "GOPR0475_frame_000041"), ("night", "GOPR0351_frame_000159")):
        folder = f"{condition}/train/{frame.split('_')[0]}"
        save_image(root / "rgb_anon" / folder / f"{frame}_rgb_anon.png")
        save_map(root / "gt" / folder / f"{frame}_gt_labelTrainIds.png", values)
        save_map(root / "gt" / folder / f"{frame}_gt_labelIds.png", noise(0, 34))
    return values


def bdd100k(root: Path, *, older: bool = False) -> np.ndarray:
    """Two training images of which one is labelled; returns its raw map."""
    images, labels = ("seg/images", "seg/labels") if older else RECENT_BDD
    for name in ("0004a4c0-d4dff0ad", "00054602-3bf57337"):
        save_image(root / images / "train" / f"{name}.jpg")
    values = noise(0, 19)
    values[0, 0] = 255
    ending = "_train_id" if older else ""
    return save_map(root / labels / "train" / f"0004a4c0-d4dff0ad{ending}.png", values)


RECENT_BDD = ("images/10k", "labels/sem_seg/masks")


def mapillary(root: Path, *, release_2: bool = False) -> np.ndarray:
    """Vistas with one validation image; returns the raw map, which has most of the 66 values."""
    values = noise(0, 66, size=(8, 10))
    save_image(root / "validation" / "images" / "0daXeyRwVJPbVfXW.jpg", size=(8, 10))
    between = "v1.2/labels" if release_2 else "labels"
    save_json(root / ("config_v1.2.json" if release_2 else "config.json"), {"labels": []})
    file = root / "validation" / between / "0daXeyRwVJPbVfXW.png"
    return save_map(file, values, palette=True)


CITYSCAPES_RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

COCO_CATEGORIES = [
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
]


def coco_instances(root: Path) -> Path:
    """COCO val2017 with polygon, list RLE and compressed RLE; returns the JSON file.

    Image 139: a 4x3 polygon box of a person, a crowd of cars in columns 6 and 7. Image 285: a
    toothbrush as compressed RLE. Image 632 has no annotation.
    """
    from pycocotools import mask as coco_mask

    height, width = SIZE
    brush = np.zeros(SIZE, np.uint8, order="F")
    brush[2:4, 1] = 1
    rle = coco_mask.encode(brush)
    annotations = [
        {
            "id": 1,
            "image_id": 139,
            "category_id": 1,
            "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]],
            "iscrowd": 0,
        },
        {
            "id": 2,
            "image_id": 139,
            "category_id": 3,
            "segmentation": {"size": [height, width], "counts": [36, 12]},
            "iscrowd": 1,
        },
        {
            "id": 3,
            "image_id": 285,
            "category_id": 90,
            "segmentation": {"size": [height, width], "counts": rle["counts"].decode()},
            "iscrowd": 0,
        },
    ]
    images = []
    for image_id in (139, 285, 632):
        name = f"{image_id:012d}.jpg"
        save_image(root / "val2017" / name)
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    file = root / "annotations" / "instances_val2017.json"
    content = {"images": images, "annotations": annotations, "categories": COCO_CATEGORIES}
    return save_json(file, content)


def save_json(file: Path, content: object) -> Path:
    """Writes a JSON document."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def coco_captions(root: Path) -> Path:
    """Captions of COCO val2017: two of image 139, out of order, one of 285; returns the JSON."""
    said = ((139, 12, "Second one."), (285, 13, "A brush\n here."), (139, 11, "A person."))
    for seed, name in enumerate(("000000000139", "000000000285")):
        save_image(root / "val2017" / f"{name}.jpg", seed=seed)
    content = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (139, 285)],
        "annotations": [{"image_id": i, "id": key, "caption": text} for i, key, text in said],
    }
    return save_json(root / "annotations" / "captions_val2017.json", content)


def captions(root: Path) -> Path:
    """Two images with captions in a JSONL file, which is returned."""
    for seed, name in enumerate(("a", "b")):
        save_image(root / "photos" / f"{name}.jpg", seed=seed)
    entries = [
        {"image": "photos/a.jpg", "captions": ["A dog.", "Two dogs."]},
        {"image": "photos/b.jpg", "caption": "A cat."},
    ]
    file = root / "captions.jsonl"
    file.write_text("\n".join(map(json.dumps, entries)) + "\n", encoding="utf-8")
    return file


def coco_panoptic(root: Path) -> tuple[Path, np.ndarray]:
    """COCO panoptic val2017 with one image; returns the JSON and the map of segment ids.

    Segment 1 is a person, 70000 a crowd of cars, 300 stuff (grass); the rest is unlabelled.
    """
    segment_ids = np.zeros(SIZE, np.int32)
    segment_ids[1:4, 1:3] = 1
    segment_ids[1:4, 3:6] = 70000
    segment_ids[4:] = 300
    channels = np.stack([segment_ids >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    file = root / "annotations" / "panoptic_val2017.json"
    png = file.with_suffix("") / "000000000139.png"
    png.parent.mkdir(parents=True)
    Image.fromarray(channels.astype(np.uint8)).save(png)
    save_image(root / "val2017" / "000000000139.jpg")
    segments = [
        {"id": 1, "category_id": 1, "iscrowd": 0},
        {"id": 70000, "category_id": 3, "iscrowd": 1},
        {"id": 300, "category_id": 193, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": 139, "file_name": "000000000139.jpg", "height": 6, "width": 8}],
        "annotations": [
            {"image_id": 139, "file_name": "000000000139.png", "segments_info": segments}
        ],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
            {"id": 3, "name": "car", "isthing": 1},
            {"id": 193, "name": "grass-merged", "isthing": 0},
        ],
    }
    return save_json(file, content), segment_ids


def labelme(root: Path) -> Path:
    """A LabelMe project of one photograph: a box of 4x3 pixels called "cat"."""
    save_image(root / "a.jpg")
    shape = {"label": "cat", "points": [[1, 1], [1, 3], [4, 3], [4, 1]], "shape_type": "polygon"}
    content = {"shapes": [shape], "imagePath": "a.jpg", "imageHeight": 6, "imageWidth": 8}
    return save_json(root / "a.json", content)


def save_colors(path: Path, colors: np.ndarray) -> Path:
    """Writes (H, W, 3) uint8 colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colors).save(path)
    return path


def color_png(root: Path) -> None:
    """CamVid as it is passed on: train/ with train_labels/ and class_dict.csv of two classes."""
    colors = np.array([(128, 128, 128), (64, 0, 128)], np.uint8)
    save_image(root / "train" / "0001TP_006690.png")
    save_colors(root / "train_labels" / "0001TP_006690_L.png", colors[noise(0, 2)])
    (root / "class_dict.csv").write_text("name,r,g,b\nSky,128,128,128\nCar,64,0,128\n")


def voc_project(root: Path) -> None:
    """What labelme2voc writes of one photograph with a cat."""
    save_image(root / "JPEGImages" / "a.jpg")
    save_map(root / "SegmentationClass" / "a.png", noise(0, 2), palette=True)
    (root / "class_names.txt").write_text("_background_\ncat")


def cvat(root: Path, shapes: str = "", *, name: str = "a.jpg", image: str = "") -> Path:
    """An export of CVAT with one image: a box of 4x3 pixels called "cat", or other shapes."""
    save_image(root / "images" / name)
    shapes = shapes or '<box label="cat" xtl="1" ytl="1" xbr="5" ybr="4"></box>'
    file = root / "annotations.xml"
    file.write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><job>'
        "<labels><label><name>dog</name></label><label><name>cat</name><attributes></attributes>"
        f'</label></labels></job></meta><image id="0" name="{name}" width="8" height="6" {image}>'
        f"{shapes}</image></annotations>"
    )
    return file


YOLO_BOX = "1 0.125 0.166666667 0.625 0.166666667 0.625 0.666666667 0.125 0.666666667"
"""A box of 4x3 pixels at (1, 1), of class 1."""


def yolo(root: Path, *, lines: str = YOLO_BOX, order: str = "{kind}/train/{name}") -> Path:
    """YOLO segmentation with one photograph of two classes; returns its text file."""
    save_image(root / order.format(kind="images", name="a.jpg"))
    file = root / order.format(kind="labels", name="a.txt")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(lines)
    (root / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: [dog, cat]\n")
    return file


def labelstudio(root: Path, *regions: dict, url: str = "/data/upload/3/0a1b2c3d-a.jpg") -> Path:
    """An export of Label Studio with one task: a box of 4x3 pixels called "cat", or others."""
    save_image(root / "images" / "a.jpg")
    box = {"x": 12.5, "y": 100 / 6, "width": 50, "height": 50, "rotation": 0}
    cat = {"type": "rectanglelabels", "value": box | {"rectanglelabels": ["cat"]}}
    size = {"original_width": 8, "original_height": 6, "from_name": "label", "to_name": "image"}
    result = [size | region for region in regions or (cat,)]
    task = {"id": 1, "data": {"image": url}, "annotations": [{"id": 5, "result": result}]}
    return save_json(root / "project-1.json", [task | {"predictions": []}])


def cvat_masks(root: Path) -> None:
    """The export "Segmentation mask" of CVAT with one photograph."""
    colors = np.array([(0, 0, 0), (128, 0, 0)], np.uint8)
    save_image(root / "JPEGImages" / "a.jpg")
    save_colors(root / "SegmentationClass" / "a.png", colors[noise(0, 2)])
    (root / "labelmap.txt").write_text("# label:color_rgb\nbackground:0,0,0::\ncat:128,0,0::\n")


def roboflow(root: Path) -> Path:
    """A COCO export of Roboflow with one photograph, a box of 4x3 pixels called "cat"."""
    save_image(root / "train" / "a.jpg")
    cat = {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0}
    content = {
        "images": [{"id": 0, "file_name": "a.jpg", "height": 6, "width": 8}],
        "annotations": [cat | {"segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]]}],
        "categories": [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
        ],
    }
    return save_json(root / "train" / "_annotations.coco.json", content)


def kitti(root: Path) -> np.ndarray:
    """KITTI semantics with one photograph; returns the raw map of Cityscapes' ids."""
    save_image(root / "training" / "image_2" / "000000_10.png")
    return save_map(root / "training" / "semantic" / "000000_10.png", noise(0, 34))


def uvo(root: Path) -> Path:
    """The frame set and the dense videos of UVO; returns the file of dense videos."""
    names = ("vid/1.png", "vid/30.png")
    for folder in ("uvo_videos_sparse_frames", "uvo_videos_dense_frames"):
        for name in names:
            save_image(root / folder / name)
    height, width = SIZE
    square = [[1, 1, 5, 1, 5, 4, 1, 4]]
    categories = [{"id": 1, "name": "person"}, {"id": 81, "name": "other"}]
    images = [
        {"id": i, "file_name": name, "height": height, "width": width, "ytid": "vid"}
        for i, name in enumerate(names)
    ]
    things = [
        {"id": 1, "image_id": 0, "category_id": 1, "segmentation": square, "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 81, "segmentation": square, "iscrowd": 0},
    ]
    frames = {"images": images, "annotations": things, "categories": categories}
    for split in ("train", "val"):
        save_json(root / "FrameSet" / f"UVO_frame_{split}.json", frames)
    video = {"id": 7, "file_names": list(names), "height": height, "width": width, "ytid": "vid"}
    rle = {"size": [height, width], "counts": [0, height * 2, height * (width - 2)]}
    tracks = [
        {"id": 3, "video_id": 7, "category_id": 1, "segmentations": [square, None], "iscrowd": 0},
        {"id": 4, "video_id": 7, "category_id": 81, "segmentations": [rle, square], "iscrowd": 0},
    ]
    dense = {"videos": [video], "annotations": tracks, "categories": categories}
    return save_json(root / "VideoDenseSet" / "UVO_video_val_dense.json", dense)


def sa1b(root: Path) -> Path:
    """SA-1B with one photograph and the mask of its columns 6 and 7; returns the JSON."""
    save_image(root / "sa_1.jpg")
    rle = {"size": [6, 8], "counts": [36, 12]}
    content = {
        "image": {"image_id": 1, "width": 8, "height": 6, "file_name": "sa_1.jpg"},
        "annotations": [{"id": 7, "segmentation": rle, "bbox": [6, 0, 2, 6], "area": 12}],
    }
    return save_json(root / "sa_1.json", content)


def supervisely(root: Path, *objects: dict, dataset: str = "ds1") -> Path:
    """A project of Supervisely with one photograph: a box of 4x3 pixels called "cat", or others."""
    save_image(root / dataset / "img" / "a.jpg")
    classes = [{"title": name, "shape": "any", "color": "#FF0000"} for name in ("dog", "cat")]
    save_json(root / "meta.json", {"classes": classes, "tags": []})
    points = {"exterior": [[1, 1], [4, 1], [4, 3], [1, 3]], "interior": []}
    cat = {"id": 3, "classTitle": "cat", "geometryType": "polygon", "points": points}
    content = {"size": {"height": 6, "width": 8}, "objects": list(objects) or [cat]}
    return save_json(root / dataset / "ann" / "a.jpg.json", content)


def ade20k_2016(root: Path) -> np.ndarray:
    """ADE20K of 2016 with one photograph: two walls and a door; returns the map of objects."""
    stem = root / "ADE20K_2016_07_26/images/training/a/abbey/ADE_train_00000970"
    save_image(stem.with_suffix(".jpg"))
    objects = noise(0, 4)
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[..., 0], colors[..., 2] = 110, np.array([0, 40, 90, 200])[objects]
    save_colors(stem.with_name(f"{stem.name}_seg.png"), colors)
    stem.with_name(f"{stem.name}_atr.txt").write_text(
        '001 # 0 # 0 # wall # wall # ""\n002 # 0 # 0 # door # double door # "open"\n'
        '003 # 0 # 1 # wall # wall # ""\n001 # 1 # 0 # knob # knob # ""\n'
    )
    return objects
