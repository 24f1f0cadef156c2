"""From a name or path to a first stage: masks of any kind of model that proposes some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from segtune.backbones import MODELS
from segtune.backbones.cards import CARDS
from segtune.backbones.hub import default_device, described, spec_of_folder, stated_type
from segtune.backbones.maskformer.files import load_maskformer
from segtune.backbones.reading.config_bounds import bounded, check_settings
from segtune.backbones.reading.hf_files import download
from segtune.backbones.two_stage.proposals import ProposalModel
from segtune.errors import WeightsError
from segtune.storage.registry import resolve


def load_proposals(name: str | Path, *, device: str | torch.device | None = None) -> ProposalModel:
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
    model: Any
    if path.is_file():
        model = load_maskformer(path)
    else:
        if not path.is_dir():
            path = download(str(name), example="facebook/maskformer-swin-base-coco")
        model = _from_folder(path, title=str(name) if not Path(name).is_dir() else path.name)
    proposals: ProposalModel = model.to(device or default_device())
    return proposals


def _from_folder(path: Path, *, title: str) -> Any:
    spec = spec_of_folder(path)
    if spec is None or not spec.load_proposals:
        known = [t for each in MODELS.values() if each.load_proposals for t in each.model_types]
        raise WeightsError(
            f"{path} is a {stated_type(path)!r} model; masks come from one of: {', '.join(known)}"
        )
    check_settings(path)
    with described(path), bounded(path):
        return resolve(spec.load_proposals)(path, title=title)
