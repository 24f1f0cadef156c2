"""The images that the bundled CLIP is trained on, rendered once and kept on disk.

Two arrays of images with labels. *Crops* show one seen thing or one stuff: close-ups, plain stuff,
and cuts around things in scenes, some with the surroundings painted over. *Scenes* show many
things, with a concept id per pixel. Unseen compositions are never rendered.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loky import ProcessPoolExecutor
from PIL import Image
from tqdm import tqdm

from segtune.data.synthetic.attributes import STUFF, compositions
from segtune.data.synthetic.scene import Scene, compose_scene, render_crop, render_stuff_crop
from segtune.storage.arrays import read_npy
from segtune.trainers.bundled.clip.captions import seen_things
from segtune.trainers.bundled.clip.recipe import ClipRecipe

CHUNK = 250
STUFF_SHARE, SCENE_CUT_SHARE = 0.08, 0.17  # of the crops; the rest are close-ups of things
PAINTED_OVER_SHARE = 0.3  # of the scene cuts
SCENE_SIDES = (128, 256)  # px; a scene is rendered at a random size and a window is kept
MIN_CUT_PX = 20


@dataclass(frozen=True)
class Pool:
    """Rendered images, memory-mapped.

    Attributes:
        crop_images: (N, s, s, 3) uint8 RGB.
        crop_labels: (N,) int16 concept ids.
        scene_images: (M, S, S, 3) uint8 RGB.
        scene_labels: (M, S, S) int16 concept ids, every pixel labelled.
    """

    crop_images: np.ndarray
    crop_labels: np.ndarray
    scene_images: np.ndarray
    scene_labels: np.ndarray


def open_pool(recipe: ClipRecipe, cache: Path, *, progress: bool = False) -> Pool:
    """Returns the pool of a recipe, rendering it with all cores where the cache does not hold it.

    Args:
        cache: folder for rendered pools; one subfolder per set of settings and way of drawing.
        progress: show a bar while rendering.
    """
    folder = cache / f"clip-pool-{_pool_key(recipe)}"
    if not folder.is_dir():
        _render_pool(recipe, folder, progress=progress)
    names = ("crop_images", "crop_labels", "scene_images", "scene_labels")
    return Pool(*(read_npy(folder / f"{name}.npy", memory_map=True) for name in names))


def _pool_key(recipe: ClipRecipe) -> str:
    """Returns a hash of the settings and of a few renders, which change when the drawing does."""
    settings = (
        recipe.seed,
        recipe.image_size,
        recipe.num_crops,
        recipe.num_scenes,
        recipe.scene_size,
    )
    digest = hashlib.sha256(json.dumps(settings).encode())
    for kind, size in (("crop", recipe.image_size), ("scene", recipe.scene_size)):
        images, labels = _render_chunk((kind, recipe.seed, 0, 3, size))
        digest.update(images.tobytes() + labels.tobytes())
    return digest.hexdigest()[:12]


def _render_pool(recipe: ClipRecipe, folder: Path, *, progress: bool) -> None:
    """Renders into a temporary folder and renames it, so that a pool is whole or not there."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    small, large = recipe.image_size, recipe.scene_size
    arrays = {
        "crop_images": ((recipe.num_crops, small, small, 3), np.uint8),
        "crop_labels": ((recipe.num_crops,), np.int16),
        "scene_images": ((recipe.num_scenes, large, large, 3), np.uint8),
        "scene_labels": ((recipe.num_scenes, large, large), np.int16),
    }
    maps = {
        name: np.lib.format.open_memmap(temporary / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in arrays.items()
    }
    jobs = [
        (kind, recipe.seed, start, min(CHUNK, count - start), size)
        for kind, count, size in (
            ("crop", recipe.num_crops, small),
            ("scene", recipe.num_scenes, large),
        )
        for start in range(0, count, CHUNK)
    ]
    try:
        with ProcessPoolExecutor() as executor:
            results = zip(jobs, executor.map(_render_chunk, jobs), strict=True)
            hidden = None if progress else True  # None: hidden when not a terminal
            for job, (images, labels) in tqdm(results, "render", len(jobs), disable=hidden):
                kind, _, start, count, _ = job
                maps[f"{kind}_images"][start : start + count] = images
                maps[f"{kind}_labels"][start : start + count] = labels
        for array in maps.values():
            array.flush()
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _render_chunk(job: tuple[str, int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Renders `count` images from `start` on; the random stream depends on the chunk alone."""
    kind, seed, start, count, size = job
    rng = np.random.default_rng((seed, int(kind == "scene"), start))
    render = _training_crop if kind == "crop" else _training_scene
    pairs = [render(rng, size) for _ in range(count)]
    return np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])


def _training_crop(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (size, size, 3) uint8 and the concept id it shows."""
    draw = rng.random()
    if draw < STUFF_SHARE:
        stuff = int(rng.integers(len(STUFF)))
        label = len(compositions()) + stuff
        return render_stuff_crop(STUFF[stuff], rng, size=size), np.array(label, np.int16)
    if draw < STUFF_SHARE + SCENE_CUT_SHARE:
        cut = _cut_thing(_random_scene(rng), rng, size)
        if cut is not None:
            return cut
    concept = int(rng.choice(seen_things()))
    return render_crop(compositions()[concept], rng, size=size), np.array(concept, np.int16)


def _training_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a (size, size, 3) uint8 window of a scene and its (size, size) int16 concept ids."""
    scene = _random_scene(rng, least=size)
    height, width = scene.stuff_ids.shape
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    window = slice(top, top + size), slice(left, left + size)
    return scene.image[window], concept_map(scene)[window]


def concept_map(scene: Scene) -> np.ndarray:
    """Returns the (H, W) int16 concept id of every pixel of a scene."""
    stuff = len(compositions()) + scene.stuff_ids
    things = np.array([*scene.things, 0], dtype=np.int64)[scene.thing_map]
    return np.where(scene.thing_map >= 0, things, stuff).astype(np.int16)


def _random_scene(rng: np.random.Generator, least: int = SCENE_SIDES[0]) -> Scene:
    side = int(rng.integers(least, max(least, SCENE_SIDES[1]) + 1))
    seen = seen_things()
    return compose_scene(compositions(), lambda r, n: r.choice(seen, n), rng, size=(side, side))


def _cut_thing(
    scene: Scene, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns a square cut around a random thing, or None where all things are too small."""
    for index in rng.permutation(len(scene.things)):
        mask = scene.thing_map == index
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        extent = max(ys[-1] - ys[0], xs[-1] - xs[0]) + 1
        if extent < MIN_CUT_PX:
            continue
        image = scene.image
        if rng.random() < PAINTED_OVER_SHARE:
            image = np.where(mask[..., None], image, np.uint8(rng.integers(90, 160)))
        half = extent * rng.uniform(0.5, 0.75)
        x, y = (xs[0] + xs[-1] + 1) / 2, (ys[0] + ys[-1] + 1) / 2
        # Pillow's transform fills what lies outside of the image with black.
        box = (x - half, y - half, x + half, y + half)
        cut = Image.fromarray(image).transform(
            (size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
        )
        return np.asarray(cut), np.array(scene.things[index], np.int16)
    return None
