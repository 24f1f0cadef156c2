"""Measures a MaskFormer folder on the synthetic `base` world: its masks, and its own names.

    python -m segtune.trainers.bundled.scenes.evaluate_maskformer [FOLDER] [--json FILE]

Masks: for every annotated region of the label map, the best IoU of any query, and the share of
regions that some query covers with an IoU of at least 0.5. Names: mIoU over all words of the world
from class probabilities and masks, the first stage alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from segtune.backbones.cards import card
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.hub import load_backbone
from segtune.backbones.maskformer.files import load_maskformer
from segtune.backbones.maskformer.model import MaskFormer
from segtune.data.synthetic import SyntheticDataset
from segtune.eval.semantic import ConfusionMatrix
from segtune.ops.mask_targets import targets_from_semantic
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates


@torch.inference_mode()
def evaluate(
    model: MaskFormer,
    words: Tensor,
    *,
    split: str = "val",
    num_scenes: int = 40,
    side: int = 256,
    progress: bool = False,
) -> dict[str, float]:
    """Returns scores, 0..1; unseen things apart where that makes sense.

    Args:
        words: (K, k) unit vectors of the vocabulary of `base`.
        num_scenes: of the split, 192 x 192 px each.
        side: that scenes are resized to, a multiple of 32.
    """
    dataset = SyntheticDataset("base", split, size=(192, 192), length=num_scenes)
    confusion = ConfusionMatrix(len(dataset.vocabulary))
    unseen = set(dataset.vocabulary.ids_in("unseen"))
    overlaps: dict[bool, list[float]] = {False: [], True: []}
    for index in tqdm(range(num_scenes), "scenes", disable=None if progress else True):
        sample = dataset[index]
        assert sample.semantic is not None  # splits of `base` are always labelled
        labels = torch.from_numpy(sample.semantic.astype("int64"))
        image = torch.from_numpy(sample.pixels().copy()).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
        found = model.propose(pixels.to(model.device))
        assert found.query_embeds is not None
        masks = F.interpolate(found.mask_logits, labels.shape, mode="bilinear")[0].sigmoid()
        class_probs = model.class_logits(found.query_embeds[0], words).softmax(-1)[:, :-1]
        scores = torch.einsum("qk,qhw->khw", class_probs, masks)
        confusion.update(scores.argmax(0).cpu(), labels)
        regions = targets_from_semantic(labels[None])[0]
        best = best_overlaps(masks.cpu() > 0.5, regions.masks)
        for class_id, iou in zip(regions.class_ids.tolist(), best.tolist(), strict=True):
            overlaps[class_id in unseen].append(iou)
    result = confusion.scores(dataset.vocabulary).summary()
    both = torch.tensor(overlaps[False] + overlaps[True])
    new = torch.tensor(overlaps[True])
    return result | {
        "mask recall": (both >= 0.5).float().mean().item(),
        "mask recall(U)": (new >= 0.5).float().mean().item(),
        "best IoU": both.mean().item(),
        "best IoU(U)": new.mean().item(),
    }


def best_overlaps(masks: Tensor, regions: Tensor) -> Tensor:
    """Returns (N,) the highest IoU that any of (Q, H, W) masks has with each region (N, H, W).

    Example:
        >>> masks = torch.tensor([[[True, True, False]], [[True, False, False]]])
        >>> best_overlaps(masks, torch.tensor([[[True, True, True]]])).tolist()
        [0.6666666865348816]
    """
    own, wanted = masks.flatten(1).float(), regions.flatten(1).float()
    shared = own @ wanted.T  # (Q, N)
    union = own.sum(1, keepdim=True) + wanted.sum(1) - shared
    return (shared / union.clamp(min=1)).amax(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the scores of a folder and writes them with `--json`."""
    parser = argparse.ArgumentParser(
        prog="python -m segtune.trainers.bundled.scenes.evaluate_maskformer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, help="the bundled model if none")
    parser.add_argument("--split", default="val", choices=["val", "test"])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--side", type=int, default=256, help="of the model input in pixels")
    parser.add_argument("--text", default="clip-vit-tiny", help="the CLIP whose words were learned")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    options = parser.parse_args(arguments)
    folder = options.folder or card("maskformer-tiny").path()
    model = load_maskformer(folder)
    clip = cast(ClipVit, load_backbone(options.text, device="cpu"))
    vocabulary = SyntheticDataset("base", options.split, length=1).vocabulary
    words = embed_vocabulary(clip, vocabulary, read_templates("single"), use_cache=False)
    result = evaluate(
        model,
        words,
        split=options.split,
        num_scenes=options.scenes,
        side=options.side,
        progress=True,
    )
    print(f"{folder.name}: synthetic:base {options.split}, {options.scenes} scenes, %")
    for name, value in result.items():
        print(f"  {name:16}{100 * value:6.1f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
