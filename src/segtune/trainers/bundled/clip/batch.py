"""One training step's images and captions: a pure function of the pool, the recipe and the step.

Nothing is carried from step to step, so a run resumes exactly from the step number alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.trainers.bundled.clip.captions import (
    Sentence,
    concept_attributes,
    full_sentence,
    is_unseen,
    matches,
    pair_sentence,
    word_ids,
    word_sentences,
)
from segtune.trainers.bundled.clip.model import normalize_images
from segtune.trainers.bundled.clip.pool import Pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe

MIN_COVER = 0.65  # share of a patch that its concept must cover
PATCHES_PER_SCENE = 40
PAIRS_PER_STEP = 24


@dataclass(frozen=True)
class Captions:
    """Distinct sentences and which rows of embeddings they describe.

    Attributes:
        texts: T sentences.
        rows: (R,) int64, which embedding each row is; one embedding may have several captions.
        own: (R,) int64, the sentence that belongs to each row.
        true: (R, T) bool, the sentences that are true of each row.
    """

    texts: list[str]
    rows: Tensor
    own: Tensor
    true: Tensor


@dataclass(frozen=True)
class Batch:
    """Images of one step with their captions.

    All `full` captions are over the same texts, one for every seen thing and stuff; all `partial`
    captions are over the same texts too, one per attribute word and some pairs.

    Attributes:
        crops: (B, 3, s, s) normalised.
        scenes: (M, 3, S, S) normalised; `scene_full` describes each by one thing that it shows.
        patch_index: (P,) int64 into the flattened (M h w) patches; the rows of `patch_*`.
        patch_weights: (P,) larger for rare concepts.
    """

    crops: Tensor
    crop_full: Captions
    crop_partial: Captions
    scenes: Tensor
    scene_full: Captions
    patch_index: Tensor
    patch_full: Captions
    patch_partial: Captions
    patch_weights: Tensor


def make_batch(pool: Pool, recipe: ClipRecipe, step: int) -> Batch:
    """Returns the batch of a step, on the CPU; the same arguments give the same batch."""
    rng = np.random.default_rng((recipe.seed, 1, step))
    attributes = concept_attributes()

    picks = np.sort(rng.integers(len(pool.crop_labels), size=recipe.crops_per_step))
    crop_labels = pool.crop_labels[picks].astype(np.int64)
    crops = _jitter(normalize_images(torch.from_numpy(pool.crop_images[picks])), rng)

    picks = np.sort(rng.integers(len(pool.scene_labels), size=recipe.scenes_per_step))
    side = int(rng.choice(recipe.scene_windows))
    images, label_map = _windows(pool.scene_images[picks], pool.scene_labels[picks], side, rng)
    labels, cover = patch_labels(label_map, recipe.patch_size)  # (M, h w)
    patch_index, owners = _pick_patches(labels, cover, rng)
    weights = 1 / np.sqrt(np.bincount(owners, minlength=len(attributes))[owners])
    scene_labels = np.array([rng.choice(np.unique(row)) for row in labels])

    known = np.flatnonzero(~is_unseen())  # every one of them competes for every row
    full = [full_sentence(int(k), rng) for k in known]
    column = np.zeros(len(attributes), dtype=np.int64)
    column[known] = np.arange(len(known))
    words = word_sentences(rng)
    pairs = [pair_sentence(int(k), rng) for k in crop_labels[:PAIRS_PER_STEP]]
    partial = words + pairs
    crop_words, patch_words = (word_ids(attributes[ids]) for ids in (crop_labels, owners))
    pair_rows = np.arange(len(pairs))
    return Batch(
        crops=crops,
        crop_full=_captions(full, attributes[crop_labels], own=column[crop_labels]),
        crop_partial=_captions(
            partial,
            attributes[crop_labels],
            own=np.concatenate([crop_words.ravel(), len(words) + pair_rows]),
            rows=np.concatenate([np.arange(len(crop_labels)).repeat(3), pair_rows]),
        ),
        scenes=_brightness(normalize_images(torch.from_numpy(images)), rng),
        scene_full=_scene_captions(full, labels, own=column[scene_labels]),
        patch_index=torch.from_numpy(patch_index),
        patch_full=_captions(full, attributes[owners], own=column[owners]),
        patch_partial=_captions(
            partial,
            attributes[owners],
            own=patch_words.ravel(),
            rows=np.arange(len(owners)).repeat(3),
        ),
        patch_weights=torch.from_numpy(weights).float(),
    )


def patch_labels(label_map: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the concept of each patch and the share of the patch that it covers.

    Args:
        label_map: (M, S, S) int concept ids.
        patch: side of a patch in pixels; divides S.

    Returns:
        labels: (M, h w) int64, the median of the patch's sorted ids: the majority if there is one.
        cover: (M, h w) float, 0..1.
    """
    num, side, _ = label_map.shape
    cells = side // patch
    tiles = label_map.reshape(num, cells, patch, cells, patch).swapaxes(2, 3)
    tiles = tiles.reshape(num, cells * cells, patch * patch)
    labels = np.partition(tiles, patch * patch // 2, axis=-1)[..., patch * patch // 2]
    return labels.astype(np.int64), (tiles == labels[..., None]).mean(-1)


def _pick_patches(
    labels: np.ndarray, cover: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns flat indices of clearly labelled patches, and their concepts; rare ones preferred.

    In each scene a patch is drawn without replacement with odds 1 / sqrt(patches of its concept).
    """
    num, cells = labels.shape
    counts = (labels[:, :, None] == labels[:, None, :]).sum(-1)
    # Efraimidis-Spirakis: the largest log(uniform) / weight are a weighted draw.
    keys = np.log(rng.random((num, cells))) * np.sqrt(counts)
    keys[cover < MIN_COVER] = -np.inf
    best = np.argsort(-keys, axis=1)[:, :PATCHES_PER_SCENE]
    index = (best + np.arange(num)[:, None] * cells)[np.take_along_axis(keys, best, 1) > -np.inf]
    return index, labels.reshape(-1)[index]


def _captions(
    sentences: list[Sentence],
    attributes: np.ndarray,
    *,
    own: np.ndarray,
    rows: np.ndarray | None = None,
) -> Captions:
    """Returns the captions of embeddings.

    Args:
        sentences: T sentences.
        attributes: (E, 4) of the concept that each embedding shows.
        own: (R,) int64, the sentence of each row.
        rows: (R,) int64, the embedding of each row; one row per embedding where None.
    """
    rows = np.arange(len(attributes)) if rows is None else rows
    true = matches([sentence.claim for sentence in sentences], attributes)[rows]
    texts = [sentence.text for sentence in sentences]
    return Captions(texts, *(torch.from_numpy(array) for array in (rows, own, true)))


def _scene_captions(sentences: list[Sentence], labels: np.ndarray, *, own: np.ndarray) -> Captions:
    """Returns the captions of scenes; whatever one of its patches shows is true of a scene.

    Args:
        sentences: T sentences.
        labels: (M, h w) concept ids of the patches.
        own: (M,) int64, the sentence of each scene.
    """
    fits = matches([sentence.claim for sentence in sentences], concept_attributes())  # (K, T)
    true = np.stack([fits[np.unique(row)].any(0) for row in labels])
    texts = [sentence.text for sentence in sentences]
    rows = torch.arange(len(labels))
    return Captions(texts, rows, torch.from_numpy(own), torch.from_numpy(true))


def _windows(
    images: np.ndarray, labels: np.ndarray, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a random window of each scene and of its labels, mirrored half of the time."""
    offsets = rng.integers(images.shape[1] - side + 1, size=(len(images), 2))
    flips = rng.random(len(images)) < 0.5
    cut_images, cut_labels = [], []
    for i, ((top, left), flip) in enumerate(zip(offsets, flips, strict=True)):
        rows = slice(top, top + side)
        columns = slice(left, left + side)
        image, label = images[i, rows, columns], labels[i, rows, columns]
        cut_images.append(image[:, ::-1] if flip else image)
        cut_labels.append(label[:, ::-1] if flip else label)
    return np.stack(cut_images), np.stack(cut_labels)


def _jitter(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrors, and for half of the images scales and shifts; then changes the brightness."""
    num = len(pixels)
    moved = rng.random(num) < 0.5
    scale = np.where(moved, np.exp(rng.uniform(math.log(0.85), math.log(1.25), num)), 1.0)
    shift = np.where(moved[:, None], rng.uniform(-0.12, 0.12, (num, 2)), 0.0)
    flip = np.where(rng.random(num) < 0.5, -1.0, 1.0)
    theta = np.zeros((num, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * flip, scale, shift
    size = [num, 3, *pixels.shape[-2:]]
    grid = F.affine_grid(torch.from_numpy(theta), size, align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    return _brightness(pixels, rng)


def _brightness(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Returns the pixels with a random gain and offset per image."""
    num = len(pixels)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (num, 1, 1, 1))).float()
    offset = torch.from_numpy(rng.uniform(-0.15, 0.15, (num, 1, 1, 1))).float()
    return pixels * gain + offset
