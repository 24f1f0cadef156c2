"""From a name or path to a first stage: masks of any kind of model that segtune can read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import Mask2FormerForUniversalSegmentation, MaskFormerForInstanceSegmentation

from segtune.backbones.cards import CARDS
from segtune.backbones.hub import default_device
from segtune.backbones.maskformer.files import MODEL_TYPE, load_maskformer
from segtune.backbones.maskformer.model import MaskFormer
from segtune.backbones.reading.hf_files import download, read_pretrained
from segtune.backbones.reading.preprocessing import stated_normalisation
from segtune.backbones.sam.files import load_sam
from segtune.backbones.sam.model import Sam
from segtune.backbones.sam.proposals import SamProposals
from segtune.backbones.two_stage.hf_proposals import HfProposals
from segtune.errors import WeightsError
from segtune.ops.normalisation import IMAGENET_BY_UNIT

CLASSES = {
    "maskformer": MaskFormerForInstanceSegmentation,
    "mask2former": Mask2FormerForUniversalSegmentation,
}
"""model_type in config.json -> class of transformers."""
SAM_TYPES = ("sam", "sam2", "sam2_video")


def load_proposals(
    name: str | Path, *, device: str | torch.device | None = None
) -> MaskFormer | HfProposals | SamProposals:
    """Returns a frozen first stage, by what its files say it is.

    Args:
        name: "maskformer-tiny", an official file of OVSeg, SimBaseline or ZegFormer, or a folder or
            hub name of a MaskFormer, Mask2Former, SAM or SAM 2 in the layout of transformers.
        device: where to put it; None takes an accelerator where there is one.

    Raises:
        FileNotFoundError, WeightsError: nothing found, or it is none of these.
    """
    card = CARDS.get(str(name))
    path = card.path() if card and card.is_bundled else Path(name)
    model: MaskFormer | HfProposals | SamProposals
    if path.is_file():
        model = load_maskformer(path)
    else:
        if not path.is_dir():
            path = download(str(name), example="facebook/maskformer-swin-base-coco")
        model = _from_folder(path, title=str(name) if not Path(name).is_dir() else path.name)
    return model.to(device or default_device())


def _from_folder(path: Path, *, title: str) -> MaskFormer | HfProposals | SamProposals:
    file = path / "config.json"
    if not file.is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type", "nameless")
    if kind == MODEL_TYPE:
        return load_maskformer(path)
    if kind in SAM_TYPES:
        sam = load_sam(path, device="cpu")
        assert isinstance(sam, Sam)
        return SamProposals(sam)
    if kind not in CLASSES:
        expected = ", ".join((MODEL_TYPE, *CLASSES, *SAM_TYPES))
        raise WeightsError(f"{path} is a {kind!r} model; masks come from one of: {expected}")
    return HfProposals(
        read_pretrained(path, CLASSES[kind]),
        name=title,
        normalisation=stated_normalisation(path) or IMAGENET_BY_UNIT,
    )
