"""What CLIP makes of the regions of an image, computed once and kept on disk.

By far the most expensive stage of mining: about a hundred passes of the image tower per image. It
knows no nouns, so that mining again with other nouns, templates or filters costs none of it. An
image takes about R * k * 2 bytes, 150 kB for a hundred regions and the 768 numbers of ViT-L/14.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from segtune.backbones.base import fingerprint_of
from segtune.backbones.clip.masked import region_embeds
from segtune.backbones.clip.model import ClipVit
from segtune.data.pairs import encode_rle
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import RegionConfig
from segtune.storage.arrays import read_npz
from segtune.storage.files import atomic_write
from segtune.types import Instance, Sample


@dataclass(frozen=True)
class ImageRegions:
    """The masks of one image that have a pixel, and their embeddings.

    Attributes:
        size: (height, width) of the original image.
        rles: R compressed COCO run lengths.
        boxes_px: (R, 4) int32 xyxy in pixels of the original image, right and bottom exclusive.
        areas_px: (R,) int64, pixels of each mask.
        embeds: (R, k) float16, unit length.
    """

    size: tuple[int, int]
    rles: tuple[str, ...]
    boxes_px: np.ndarray
    areas_px: np.ndarray
    embeds: np.ndarray

    def __len__(self) -> int:
        return len(self.rles)


def for_clip(config: RegionConfig, clip: ClipVit) -> RegionConfig:
    """Returns a recipe whose regions have the size that a CLIP was made for."""
    return replace(config, size=clip.image_size)


@torch.inference_mode()
def embed_regions(
    image: np.ndarray, masks: Iterable[np.ndarray], clip: ClipVit, config: RegionConfig
) -> ImageRegions:
    """Returns the regions of an image without its empty masks, in their order.

    Regions are cut from the original image, not from a resized one as at inference, because the
    crops that are trained on later are cut from it too.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: parts of (q, H, W) bool; one part is in memory at a time.
        clip: the original one, or one that was adapted, whose mask prompts stand in for patches
            without a pixel of the region.
        config: recipe of the regions, at the size of `clip`.
    """
    size = (image.shape[0], image.shape[1])
    picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().to(clip.device)
    rles: list[str] = []
    boxes: list[tuple[int, int, int, int]] = []
    areas: list[int] = []
    embeds = [np.zeros((0, clip.joint_width), np.float16)]
    for part in masks:
        part = part[part.any((1, 2))]
        if not len(part):
            continue
        inside = torch.from_numpy(part).to(clip.device)
        cut = cut_regions(picture, inside, config, normalisation=clip.normalisation)
        vectors = region_embeds(clip, cut.pixels, cut.masks, clip.mask_prompts)
        embeds.append(vectors.half().cpu().numpy())
        for mask in part:
            rles.append(encode_rle(mask))
            boxes.append(Instance(0, mask).box_px)
            areas.append(int(mask.sum()))
    return ImageRegions(
        size,
        tuple(rles),
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(areas, np.int64),
        np.concatenate(embeds),
    )


class RegionCache:
    """Regions on disk, one file per image under a hash of all that they depend on.

    Args:
        folder: created when the first image is kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, key: str) -> ImageRegions | None:
        """Returns what is kept under a key; None where there is nothing, or the file is damaged."""
        if self.folder is None or not (file := self._file(key)).is_file():
            return None
        try:
            stored = read_npz(file)
            height, width = stored["size"].tolist()
            rles = bytes(stored["rles"]).decode("ascii")
            return ImageRegions(
                (height, width),
                tuple(rles.split("\n")) if rles else (),
                stored["boxes_px"],
                stored["areas_px"],
                stored["embeds"],
            )
        except (OSError, ValueError, KeyError):
            return None

    def put(self, key: str, regions: ImageRegions) -> None:
        """Keeps regions under a key."""
        if self.folder is None:
            return
        with atomic_write(self._file(key)) as temporary:
            np.savez(
                temporary,
                size=np.array(regions.size),
                rles=np.frombuffer("\n".join(regions.rles).encode("ascii"), np.uint8),
                boxes_px=regions.boxes_px,
                areas_px=regions.areas_px,
                embeds=regions.embeds,
            )

    def _file(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npz"


def weights_key(clip: ClipVit) -> str:
    """Returns the fingerprint of a CLIP and of its mask prompts, where it has any."""
    if clip.mask_prompts is None:
        return clip.fingerprint
    return f"{clip.fingerprint}-{fingerprint_of({'mask_prompts': clip.mask_prompts})}"


def region_key(sample: Sample, masks_key: str, clip: ClipVit, config: RegionConfig) -> str:
    """Returns a hash of the image, of where its masks are from, and of what embeds them.

    An image file counts by its path, size and time of change, pixels in memory by their values.
    """
    if isinstance(sample.image, np.ndarray):
        pixels = np.ascontiguousarray(sample.image)
        image = f"{pixels.shape}-{hashlib.sha256(pixels.tobytes()).hexdigest()}"
    else:
        found = sample.image.stat()
        image = f"{sample.image.resolve()}-{found.st_size}-{found.st_mtime_ns}"
    seen_by = (clip.normalisation.unit_mean, clip.normalisation.unit_std)
    parts = [image, masks_key, weights_key(clip), *seen_by, asdict(config), "v1"]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
