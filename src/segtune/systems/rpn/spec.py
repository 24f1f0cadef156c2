"""RPN in both variants, and the peers it is compared with, on a CLIP ViT."""

from __future__ import annotations

from segtune.systems.spec import Build, Case, FitDefaults, SystemSpec

PAPER = "Relationship Prompt Learning is Enough for Open-Vocabulary Semantic Segmentation"
SOURCE = "Li et al., NeurIPS 2024"
TAGS = (
    ("P", "the RPN paper"),
    ("C", "its released code"),
    ("Z", "ZegCLIP's code"),
    ("R", "our reconstruction"),
)

_HERE = "segtune.systems.rpn"
_BUILDS = (Build("clip-vit", f"{_HERE}.model:PromptedClip", f"{_HERE}.config:configure"),)
_OFFICIAL = f"{_HERE}.official:load_official"
# ZegCLIP reads only the attention logits of its last decoder layer.
_LAST_LAYER = ("head.layers.2.*",)
# An expert that no image of the batch chose, and the noise of a gate that chose the same ones.
_EXPERTS = ("experts.*",)

SPECS = (
    SystemSpec(
        "rpn",
        _BUILDS,
        about="relationship prompts per layer (variant=released or paper), linear head",
        source=SOURCE,
        paper=PAPER,
        fit=FitDefaults(grid_option="train_grid"),  # the pixel knowledge lives on that grid
        variants=("released", "paper"),
        tags=TAGS,
        checkpoint_reader=_OFFICIAL,
        cases=(
            Case("paper", {"variant": "paper", "train_grid": (4, 4)}, unread=_EXPERTS),
            Case("released", {"variant": "released", "train_grid": (4, 4), "static_tokens": 3}),
        ),
    ),
    SystemSpec(
        "zegclip",
        _BUILDS,
        about="static deep prompts (variant=deep or shallow), cross-attention decoder",
        source="Zhou et al., CVPR 2023",
        paper="ZegCLIP: Towards Adapting CLIP for Zero-shot Semantic Segmentation",
        variants=("deep", "shallow"),
        tags=TAGS,
        checkpoint_reader=_OFFICIAL,
        cases=(
            Case("", {"decoder_heads": 4}, unread=_LAST_LAYER),
            Case("shallow", {"variant": "shallow", "decoder_heads": 4}, unread=_LAST_LAYER),
        ),
    ),
    SystemSpec(
        "vpt",
        _BUILDS,
        about="static prompts (variant=deep or shallow), linear head",
        source="Jia et al., ECCV 2022",
        paper="Visual Prompt Tuning",
        variants=("deep", "shallow"),
        tags=TAGS,
        cases=(Case(), Case("shallow", {"variant": "shallow"})),
    ),
    SystemSpec(
        "lora",
        _BUILDS,
        about="low-rank adaptation of the image tower, linear head",
        source="Hu et al., ICLR 2022",
        paper="LoRA: Low-Rank Adaptation of Large Language Models",
        tags=TAGS,
        cases=(Case(options={"lora_rank": 2}),),
    ),
    SystemSpec(
        "lpm",
        _BUILDS,
        about="the linear head alone",
        source=f"ablation of {SOURCE}",
        paper=PAPER,
        tags=TAGS,
    ),
)

DENSE_CLIP = SystemSpec(
    "dense-clip",
    (
        Build("clip-vit", f"{_HERE}.dense_clip:DenseClip", f"{_HERE}.dense_clip:DenseClipConfig"),
        Build(
            "clip-convnext",
            f"{_HERE}.dense_convnext:DenseConvNext",
            f"{_HERE}.dense_convnext:DenseConvNextConfig",
        ),
    ),
    about="nothing: patches of the last layer against the words",
    source="Zhou et al., ECCV 2022",
    paper="Extract Free Dense Labels from CLIP",
    learns=False,
    is_zero_shot=True,
)
