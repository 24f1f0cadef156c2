"""Measures a CLIP folder on the synthetic `base` world, zero-shot.

    python -m segtune.trainers.bundled.clip.evaluate [FOLDER] [--json FILE]

Crops: top-1 over all compositions, for seen and for unseen ones, on fresh close-ups. Dense: mIoU on
`base` val scenes over all things and stuff, from the value path, each patch compared with text.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from segtune.backbones.cards import card
from segtune.data.synthetic import SyntheticDataset, compositions, render_crop
from segtune.trainers.bundled.clip.captions import concept_names
from segtune.trainers.bundled.clip.model import (
    encode_images,
    encode_texts,
    input_side,
    load_clip,
    normalize_images,
)
from segtune.types import IGNORE

TEMPLATES = ("{}", "a photo of a {}.", "this is a photo of a {}.", "there is a {} in the scene.")
PROTOCOLS = {"crops_plain": ("a photo of a {}",), "crops_templates": TEMPLATES}
EVALUATION_STREAM = 1_000_003
"""First number of every seed here; training streams start with the recipe's seed."""


@torch.inference_mode()
def class_embeddings(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Returns (K, D) unit vectors: the normalised mean over templates of normalised embeddings."""
    embeds = torch.stack(
        [
            F.normalize(encode_texts(model, tokenizer, [t.format(name) for name in names]), dim=-1)
            for t in templates
        ]
    )
    return F.normalize(embeds.mean(0), dim=-1)


@torch.inference_mode()
def crop_accuracy(
    model: CLIPModel,
    text_embeds: Tensor,
    *,
    seed: int,
    crops_per_composition: int = 2,
    progress: bool = False,
) -> dict[str, float]:
    """Returns top-1 of seen and unseen compositions, 0..1, on fresh close-ups.

    Args:
        text_embeds: (K, D) unit vectors of all compositions, in their order.
        seed: of the renders.
        progress: show a bar when the output is a terminal.
    """
    rng = np.random.default_rng((EVALUATION_STREAM, seed))
    things = compositions()
    size = input_side(model)
    unseen = torch.tensor([thing.is_unseen for thing in things])
    hits = torch.zeros(len(things))
    for _ in tqdm(range(crops_per_composition), "crops", disable=None if progress else True):
        crops = np.stack([render_crop(thing, rng, size=size) for thing in things])
        pixels = normalize_images(torch.from_numpy(crops)).to(model.device)
        embeds = torch.cat([encode_images(model, part)[0] for part in pixels.split(128)])
        winner = (F.normalize(embeds, dim=-1) @ text_embeds.T).argmax(-1).cpu()
        hits += (winner == torch.arange(len(things))).float()
    rates = hits / crops_per_composition
    return {"seen": rates[~unseen].mean().item(), "unseen": rates[unseen].mean().item()}


@torch.inference_mode()
def dense_miou(
    model: CLIPModel,
    text_embeds: Tensor,
    *,
    num_scenes: int = 40,
    size: int = 192,
    progress: bool = False,
) -> dict[str, float]:
    """Returns mIoU of seen things, unseen things and stuff, 0..1, and their pixel accuracy.

    Logits of the patches are resized bilinearly to the image; every class of the world competes;
    classes that do not occur in the scenes are left out of the means.

    Args:
        text_embeds: (K, D) unit vectors of the vocabulary of `base`.
        num_scenes: scenes of the val split.
        size: side of the scenes in pixels.
    """
    dataset = SyntheticDataset("base", "val", size=(size, size), length=num_scenes)
    num_classes = len(dataset.vocabulary)
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for index in tqdm(range(num_scenes), "scenes", disable=None if progress else True):
        sample = dataset[index]
        image = torch.from_numpy(sample.pixels().copy())[None]
        _, patches = encode_images(model, normalize_images(image).to(model.device))
        logits = (F.normalize(patches[0], dim=-1) @ text_embeds.T).permute(2, 0, 1)  # (K, h, w)
        logits = F.interpolate(logits[None], (size, size), mode="bilinear", align_corners=False)
        truth, answer = sample.semantic, logits[0].argmax(0).cpu().numpy()
        assert truth is not None  # splits of `base` are always labelled
        valid = truth != IGNORE
        pairs = truth[valid].astype(np.int64) * num_classes + answer[valid]
        confusion += np.bincount(pairs, minlength=num_classes**2).reshape(confusion.shape)
    inside, true = np.diag(confusion), confusion.sum(1)
    union = true + confusion.sum(0) - inside
    occurs = true > 0
    groups = np.array(
        [c.group if c.kind == "thing" else "stuff" for c in dataset.vocabulary.concepts]
    )
    result = {"pixel_accuracy": float(inside.sum() / true.sum())}
    for group in ("seen", "unseen", "stuff"):
        chosen = occurs & (groups == group)
        result[group] = float((inside[chosen] / union[chosen]).mean())
    result["all"] = float((inside[occurs] / union[occurs]).mean())
    return result


def evaluate(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    num_scenes: int = 40,
    progress: bool = False,
) -> dict[str, dict[str, float]]:
    """Returns `crops_plain`, `crops_templates` (mean and std over seeds) and `dense` scores."""
    names = concept_names()
    num_things = len(compositions())
    result: dict[str, dict[str, float]] = {}
    for protocol, templates in PROTOCOLS.items():
        embeds = class_embeddings(model, tokenizer, names[:num_things], templates)
        scores = [crop_accuracy(model, embeds, seed=seed, progress=progress) for seed in seeds]
        result[protocol] = {
            f"{group}_{statistic}": float(function([score[group] for score in scores]))
            for group in ("seen", "unseen")
            for statistic, function in (("mean", np.mean), ("std", np.std))
        }
    embeds = class_embeddings(model, tokenizer, names)
    result["dense"] = dense_miou(model, embeds, num_scenes=num_scenes, progress=progress)
    return result


def format_report(result: dict[str, dict[str, float]], title: str) -> str:
    """Returns the scores as a small table, in percent."""
    lines = [title, f"{'crops, top-1 of all compositions':34}{'seen':>14}{'unseen':>14}"]
    for protocol in PROTOCOLS:
        score = result[protocol]
        cells = [
            f"{100 * score[f'{group}_mean']:.1f} ± {100 * score[f'{group}_std']:.1f}"
            for group in ("seen", "unseen")
        ]
        lines.append(f"  {protocol.removeprefix('crops_'):32}{cells[0]:>14}{cells[1]:>14}")
    dense = result["dense"]
    lines.append("dense value path, base val, mIoU over all words of the world")
    lines += [f"  {name:32}{100 * value:14.1f}" for name, value in dense.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the scores of a folder and writes them with `--json`."""
    parser = argparse.ArgumentParser(
        prog="python -m segtune.trainers.bundled.clip.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, help="CLIP folder; the bundled one if none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the renders")
    parser.add_argument("--scenes", type=int, default=40, help="val scenes of the dense score")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    options = parser.parse_args(arguments)
    folder = options.folder or card("clip-vit-tiny").path()
    model, tokenizer = load_clip(folder)
    result = evaluate(
        model, tokenizer, seeds=options.seeds, num_scenes=options.scenes, progress=True
    )
    title = f"{folder.name}: zero-shot on synthetic:base, seeds {options.seeds}"
    print(format_report(result, title))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
