"""OVSeg with its peers on mask proposals in front of a CLIP."""

from __future__ import annotations

from segtune.systems.spec import Build, Case, FitDefaults, SystemSpec, TrainerSpec

PAPER = "Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP"
SOURCE = "Liang et al., CVPR 2023"
TAGS = (
    ("P", "the OVSeg paper"),
    ("C", "its released code"),
    ("S", "SimBaseline's code"),
    ("Z", "ZegFormer's code"),
)

_HERE = "segtune.systems.ovseg"
_BUILDS = (
    Build(
        "two-stage",
        f"{_HERE}.model:PromptedTwoStage",
        f"{_HERE}.config:configure",
        options_of_model=f"{_HERE}.config:options_of_model",
    ),
)

SPECS = (
    SystemSpec(
        "ovseg",
        _BUILDS,
        about="mask prompts: tokens for the blank patches of a region",
        source=SOURCE,
        paper=PAPER,
        # The paper's rate for mask prompts (its released script has 0.05).
        fit=FitDefaults(lr=0.02, weight_decay=0.0, clip_norm=None, views=0),
        tags=TAGS,
        trainers=(
            TrainerSpec("ovseg/pairs", "segtune.trainers.pairs.run:train_recipe"),
            TrainerSpec("ovseg/maskformer", "segtune.trainers.maskformer.run:train_recipe"),
        ),
        cases=(Case(), Case("shallow", {"prompt_depth": 1, "regions_at_once": 2})),
    ),
    SystemSpec(
        "simbaseline",
        _BUILDS,
        about="word vectors before the class names",
        source="Xu et al., ECCV 2022",
        paper="A Simple Baseline for Open-Vocabulary Semantic Segmentation",
        # A tenth of the paper's rate, and few of its 16,000 steps: chosen on `val` of base-15-5.
        fit=FitDefaults(
            steps=600, lr=0.002, optimizer="sgd", weight_decay=5e-4, clip_norm=None, views=0
        ),
        tags=TAGS,
        cases=(
            Case(options={"prefix_tokens": 4}),
            Case("around", {"prefix_tokens": 2, "suffix_tokens": 3, "words_for": "regions"}),
        ),
    ),
    SystemSpec(
        "zegformer",
        _BUILDS,
        about="nothing: ZegFormer's regions and fusion",
        source="Ding et al., CVPR 2022",
        paper="Decoupling Zero-Shot Semantic Segmentation",
        learns=False,
        tags=TAGS,
    ),
    SystemSpec(
        "two-stage",
        _BUILDS,
        about="nothing: proposals and CLIP as they come",
        source="that of the weights",
        learns=False,
        is_zero_shot=True,
        tags=TAGS,
    ),
)
