"""Uni-OVSeg with its adapter, and its masks named by the frozen CLIP."""

from __future__ import annotations

from segtune.systems.spec import Build, Case, FitDefaults, SystemSpec, TrainerSpec

PAPER = "Open-Vocabulary Segmentation with Unpaired Mask-Text Supervision"
SOURCE = "Wang et al., 2024"
TAGS = (
    ("P", "the paper"),
    ("C", "the released code"),
    ("F", "FC-CLIP"),
    ("O", "our choice"),
)

_HERE = "segtune.systems.uniovseg"
_BUILDS = (Build("uniovseg", f"{_HERE}.model:AdaptedUniOvseg", f"{_HERE}.config:configure"),)
# A random model expects no mask to be good.
_ALL_MASKS = {"grid": 3, "min_iou": 0.0}

SPECS = (
    SystemSpec(
        "uniovseg",
        _BUILDS,
        about="a low-rank adapter per scale that brings regions and words together",
        source=SOURCE,
        paper=PAPER,
        fit=FitDefaults(weight_decay=0.05, views=0),
        tags=TAGS,
        trainers=(
            TrainerSpec("uniovseg/masks", "segtune.trainers.uniovseg.masks_run:train_recipe"),
            TrainerSpec("uniovseg/captions", "segtune.trainers.uniovseg.captions_run:train_recipe"),
        ),
        cases=(
            Case("", _ALL_MASKS, starts_as_zero_shot=_ALL_MASKS),
            Case("ensemble", {**_ALL_MASKS, "frozen_share": 0.4, "shrink": 4}),
            Case("head", {**_ALL_MASKS, "adapts_head": True, "rank": 2}),
        ),
    ),
    SystemSpec(
        "uniovseg-frozen",
        _BUILDS,
        about="nothing: masks of a grid of points, named by the frozen CLIP",
        source=SOURCE,
        paper=PAPER,
        learns=False,
        is_zero_shot=True,
        tags=TAGS,
        cases=(Case("", _ALL_MASKS), Case("published")),
    ),
)
