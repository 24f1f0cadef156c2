"""The published settings of OVSeg, SimBaseline and ZegFormer for the training of mask proposals.

Values are those of the released configurations (of zsseg for SimBaseline). What is not named is as
in `ProposalRecipe`, whose defaults are OVSeg's with Swin-B. [R] marks what we reconstruct because
no source that we know states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_B16 = "openai/clip-vit-base-patch16"
_RESNET: Mapping[str, Any] = {"drop_path": 0.0, "weight_decay": 1e-4, "encoder_lr": 0.1}
_SMALL: Mapping[str, Any] = {"crop": 512, "dense_size": 512, "longest": 2048}
_SIMBASELINE: Mapping[str, Any] = {
    **_RESNET,
    "encoder": "r101c",
    "text": _B16,
    "lr": 1e-4,
    "warmup": 0,
    "shorts": tuple(range(320, 961, 64)),
    "pair": "simbaseline",
}
_ZEGFORMER: Mapping[str, Any] = {
    **_SIMBASELINE,
    "encoder": "r101",
    "class_hidden": None,
    "templates": "zegformer_single",
    "freeze_at": 0,  # [R]
    "pair": "zegformer",
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "ovseg-swinb": {"name": "ovseg-swinb", "protocol": "COCO-Stuff-171"},
    "ovseg-r101c": {
        **_RESNET,
        **_SMALL,
        "name": "ovseg-r101c",
        "protocol": "COCO-Stuff-171",
        "encoder": "r101c",
        "text": _B16,
        "lr": 2e-4,
        "shorts": (800,),  # the released file sets none, which leaves the framework's default
        "freeze_at": 2,  # as released; SimBaseline learns all stages
        "threshold": 0.5,
    },
    "simbaseline-coco": {
        **_SIMBASELINE,
        "name": "simbaseline-coco",
        "protocol": "coco156-15",
        "steps": 60_000,  # 120,000 for the model that is scored on other data sets
        "templates": "vild_14",  # [R] of the run without learned words
    },
    "simbaseline-voc": {
        **_SIMBASELINE,
        **_SMALL,
        "name": "simbaseline-voc",
        "protocol": "voc15-5",
        "split": "train_aug",
        "steps": 20_000,
        "batch": 16,
        "templates": "simbaseline_single",  # "a sculpture of a {}."
        "fusion_weight": 0.7,
    },
    "zegformer-coco": {
        **_ZEGFORMER,
        "name": "zegformer-coco",
        "protocol": "coco156-15",
        "steps": 60_000,
    },
    "zegformer-voc": {
        **_ZEGFORMER,
        **_SMALL,
        "name": "zegformer-voc",
        "protocol": "voc15-5",
        "split": "train_aug",
        "steps": 10_000,  # 30,000 advised by its authors
        "shorts": tuple(int(512 * tenth / 10) for tenth in range(5, 21)),  # [R] rounded down
    },
    # Not of a paper: the sizes of the bundled model, to see a run end to end on a processor.
    "tiny": {
        "name": "maskformer-tiny",
        "data": "synthetic:base?size=192&length=200&stuff_regions=1&stored=1",
        "text": "clip-vit-tiny",
        "templates": "single",
        "encoder": "swin-tiny",
        "drop_path": 0.1,
        "fpn_width": 64,
        "mask_dim": 64,
        "hidden": 96,
        "decoder_heads": 4,
        "feedforward": 192,
        "decoder_layers": 3,
        "num_queries": 32,
        "class_hidden": 128,
        "shorts": (128, 160, 192),
        "longest": 384,
        "crop": 128,
        "dense_size": 192,
        "steps": 200,
        "batch": 8,
        "lr": 1e-3,
        "warmup": 20,
        "workers": 1,
        "save_every": 50,
    },
}
"""Preset -> settings that differ from the defaults."""
